"""Known sources, which are not new candidates.

Shape suffix: N sources.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from mmae.astro.crossmatch import match, nearest_of
from mmae.astro.tables import degrees, find_column, read_table, text_values
from mmae.core.errors import InputError
from mmae.steepspec.arrays import require
from mmae.steepspec.classify import KNOWN

COLUMNS = ("name", "ra", "dec", "class")


def read_known(path: Path) -> Table:
    """A list of known sources: columns name, ra, dec (degrees or sexagesimal), class (pulsar, radio_galaxy, agn, star).

    Raises:
        InputError: as `read_table`, or if a column is missing, a coordinate is out of range, or a class is not
            one of these.
    """
    raw = read_table(path)
    names = {column: find_column(raw, (column,)) for column in COLUMNS}
    if missing := [column for column, name in names.items() if name is None]:
        raise InputError(
            f"{path}: no column {', '.join(missing)}. A list of known sources has the columns {', '.join(COLUMNS)}."
        )
    table = Table({column: text_values(raw[names[column]]) for column in ("name", "class")})
    for column in ("ra", "dec"):
        table[column] = degrees(raw[names[column]], column == "ra", f"{path}: column {names[column]}")
    require(
        (table["ra"] >= 0) & (table["ra"] <= 360) & (abs(table["dec"]) <= 90),
        str(path),
        "coordinates missing or out of range",
        "correct (degrees) or remove these rows",
    )
    wrong = ~np.isin(table["class"], list(KNOWN))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{path}: row {row} has the class {str(table['class'][row])!r}; choose from {', '.join(KNOWN)}."
        )
    return table


def pulsars_as_known(pulsars: Table) -> Table:
    """The pulsars of psrcat (`pulsars.read_psrcat`) as known sources."""
    return Table(
        {
            "name": pulsars["name"],
            "ra": pulsars["ra"].value,
            "dec": pulsars["dec"].value,
            "class": np.full(len(pulsars), "pulsar"),
        }
    )


def find_known(
    ra_N: np.ndarray, dec_N: np.ndarray, known: list[Table], radius_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Name and class (N,) of the nearest known source within the radius, "" where there is none.

    Args:
        ra_N, dec_N: ICRS degrees.
        known: tables of `read_known` or `pulsars_as_known`; the first with a match has precedence.
        radius_N: match radius of each source, arcsec.
    """
    name_N, class_N = np.full(len(ra_N), "", "U64"), np.full(len(ra_N), "", "U16")
    for table in reversed(known):
        pairs = nearest_of(match(ra_N, dec_N, table["ra"], table["dec"], radius_N.max(initial=0)))
        pairs = pairs.select(pairs.separation_arcsec <= radius_N[pairs.index1])
        name_N[pairs.index1] = np.asarray(table["name"], str)[pairs.index2]
        class_N[pairs.index1] = np.asarray(table["class"], str)[pairs.index2]
    return name_N, class_N
