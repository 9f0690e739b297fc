"""Sources that are known already: counted, shown, and no new candidates.

Shape suffix: N sources.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from mmae.astro.crossmatch import match, nearest_of
from mmae.astro.tables import convert, find_column, read_table, text_values
from mmae.core.errors import InputError
from mmae.steepspec.arrays import require
from mmae.steepspec.classify import KNOWN

COLUMNS = ("name", "ra", "dec", "class")


def read_known(path: Path) -> Table:
    """A list of known sources: columns name, ra and dec (degrees), class (pulsar, radio_galaxy, agn, star).

    Raises:
        InputError: as `read_table`; a column is missing, coordinates are impossible, or a class is none of these.
    """
    raw = read_table(path)
    names = {ours: find_column(raw, (ours,)) for ours in COLUMNS}
    if missing := [ours for ours, theirs in names.items() if theirs is None]:
        raise InputError(
            f"{path}: no column {', '.join(missing)}. A list of known sources has the columns {', '.join(COLUMNS)}."
        )
    table = Table({ours: text_values(raw[names[ours]]) for ours in ("name", "class")})
    for ours in ("ra", "dec"):
        table[ours] = convert(raw[names[ours]], "deg", u.deg, f"{path}: column {names[ours]}")
    require(
        (table["ra"] >= 0) & (table["ra"] <= 360) & (abs(table["dec"]) <= 90),
        str(path),
        "impossible or missing coordinates",
        "correct these rows (degrees) or remove them",
    )
    wrong = ~np.isin(table["class"], list(KNOWN))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{path}: row {row} has the class {str(table['class'][row])!r}. Classes are {', '.join(KNOWN)}."
        )
    return table


def pulsars_as_known(pulsars: Table) -> Table:
    """psrcat's pulsars (`pulsars.read_psrcat`) as known sources."""
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
        ra_N, dec_N: ICRS degrees. radius_N: arcsec, of each source.
        known: tables of `read_known` or `pulsars_as_known`; the first that has a source decides.
    """
    name_N, class_N = np.full(len(ra_N), "", "U64"), np.full(len(ra_N), "", "U16")
    for table in reversed(known):
        pairs = nearest_of(match(ra_N, dec_N, table["ra"], table["dec"], radius_N.max(initial=0)))
        pairs = pairs.select(pairs.separation_arcsec <= radius_N[pairs.index1])
        name_N[pairs.index1] = np.asarray(table["name"], str)[pairs.index2]
        class_N[pairs.index1] = np.asarray(table["class"], str)[pairs.index2]
    return name_N, class_N
