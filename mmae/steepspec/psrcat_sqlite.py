"""Records of psrcat 2.x, which is a SQLite database (psrcat2.db, doi:10.25919/d9a8-pq84), as those of its text format.

Tables and columns used: pulsar (jname), parameter (value, uncertainty in the unit of the value, timeDerivative,
companionNumber), parameterType (label), observingSystem (centralFrequency, MHz), derived (parameters computed from
others, which are not used), and, if they exist, sourceType and association.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from mmae.core.errors import InputError

BEGINNING = b"SQLite format 3\0"
_PARAMETERS = """
    SELECT pulsar.pulsar_id, pulsar.jname, parameterType.label, parameter.timeDerivative, parameter.companionNumber,
           parameter.value, parameter.uncertainty, observingSystem.centralFrequency
    FROM pulsar
    LEFT JOIN parameter ON parameter.pulsar_id = pulsar.pulsar_id
          AND parameter.parameter_id NOT IN (SELECT parameter_id FROM derived WHERE parameter_id IS NOT NULL)
    LEFT JOIN parameterType ON parameterType.parameterType_id = parameter.parameterType_id
    LEFT JOIN observingSystem ON observingSystem.observingSystem_id = parameter.observingSystem_id
    ORDER BY pulsar.jname, pulsar.pulsar_id, parameter.parameter_id DESC
"""
_LABELS = {
    "TYPE": """SELECT pulsar_id, label FROM sourceType JOIN sourceTypeOptions USING (sourceTypeOptions_id)
               WHERE label != 'RADIO' ORDER BY sourceType_id""",
    "ASSOC": """SELECT pulsar_id, label || ':' || REPLACE(name, ' ', '_') FROM association
                JOIN associationType USING (associationType_id) ORDER BY association_id""",
}
_BAND_OF_S1400 = (1250, 1489)  # MHz: psrcat's own conversion to its text format counts them as S1400


def is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(BEGINNING)) == BEGINNING


def sqlite_records(path: Path) -> list[dict[str, list[str]]]:
    """One record per pulsar: label of the text format (PSRJ, RAJ, F0, S1400) -> value and error.

    Of several measurements of one quantity the one entered last is used.

    Raises:
        InputError: the file is not a database of psrcat.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(_PARAMETERS).fetchall()
            labels = {key: _optional(database, query) for key, query in _LABELS.items()}
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: a SQLite database, but not of psrcat 2 ({error}). Name a psrcat2.db, from "
            f"https://www.atnf.csiro.au/research/pulsar/psrcat/."
        ) from error
    records: dict[int, dict[str, list[str]]] = {}
    for pulsar, name, label, derivative, companion, value, error, frequency in rows:
        record = records.setdefault(pulsar, {"PSRJ": [str(name or "")]})
        if label is None or value is None or (companion or 0) > 1:
            continue
        record.setdefault(_text_label(label, derivative or 0, frequency), [str(value), *_absolute(error)])
    for key, pairs in labels.items():
        for pulsar, text in pairs:
            if pulsar in records and text:
                known = records[pulsar].setdefault(key, [""])
                known[0] = f"{known[0]},{text}" if known[0] else text
    return list(records.values())


def _text_label(label: str, derivative: int, frequency: float | None) -> str:
    if label == "FLUX" and frequency:
        mhz = round(float(frequency))
        return f"S{1400 if mhz in _BAND_OF_S1400 else mhz}"
    return f"{label}{derivative}" if derivative or label in ("F", "P") else label


def _absolute(error: object) -> list[str]:
    """An error in the unit of the value: with a decimal point, as `pulsars.number_with_error` expects it."""
    try:
        return [f"{float(str(error)):.15f}"]
    except ValueError:
        return []


def _optional(database: sqlite3.Connection, query: str) -> list[tuple[int, str]]:
    try:
        return database.execute(query).fetchall()
    except sqlite3.Error:
        return []
