"""How many sources fall into error regions by chance: the same regions, moved in right ascension.

A move in RA keeps the declination, hence a radio survey's depth, beam and source density. Only
regions that lie in the survey are moved, and only to places in the survey, so that the moved
fields see as much of it as the real ones. The chance count includes sources of real interest
that happen to lie there; for rare sources this is negligible.

Shape suffixes: R regions, S sources, K shifts, C cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike
from scipy.stats import poisson

from mmae.errors import InputError
from mmae.steepspec.regions import members, usable_ellipse
from mmae.survey.crossmatch import separation

# Expected sources in a cell: with 20, one cell in 5e8 inside the survey is empty by chance.
_SOURCES_PER_CELL = 20
_GOLDEN = (np.sqrt(5) - 1) / 2  # its multiples fill the circle evenly, whatever their number
_TRIES = 400


@dataclass(frozen=True)
class Footprint:
    """Where a catalogue has sources, on a grid of equal-area cells: `bands` strips of equal width
    in sin(dec), each cut into 2 `bands` cells in RA. `occupied` is (bands, 2 bands) bool.
    """

    bands: int
    occupied: np.ndarray

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
        """bool: the cell at these ICRS degrees holds a source of the catalogue."""
        return self.occupied[_cell(ra, dec, self.bands)]

    @property
    def area_deg2(self) -> float:
        return float(self.occupied.mean()) * 4 * np.pi * np.degrees(1) ** 2


@dataclass(frozen=True)
class Chance:
    """Counts in K sets of moved regions.

    `sources_K` counts sources in at least one region, `fields_K` the regions with at least one.
    `mean_sources` +- `error_sources` (of the mean, sd/sqrt(K)); `sd_sources`: the scatter of
    one set. `regions`: how many regions lie in the footprint and were moved. `unmoved`: in the
    footprint, but with no other place in it at their declination; they are in no set.
    """

    sources_K: np.ndarray
    fields_K: np.ndarray
    regions: int
    unmoved: int
    mean_sources: float
    error_sources: float
    sd_sources: float
    mean_fields: float
    error_fields: float

    def probability(self, observed: int) -> float:
        """Poisson probability of this many sources or more by chance."""
        return float(poisson.sf(observed - 1, self.mean_sources))


def footprint(ra: ArrayLike, dec: ArrayLike) -> Footprint:
    """The sky that a catalogue covers, judged by where it has sources.

    The cells are as small as they can be with a median of 20 sources or more in an occupied cell.

    Args:
        ra, dec: (S,) ICRS degrees.

    Raises:
        InputError: no sources.
    """
    if not np.size(ra):
        raise InputError("no sources to take a footprint from: the radio catalogue is empty.")
    best = None
    for bands in (4, 8, 16, 32, 64, 128, 256, 512):
        count_C = np.bincount(np.ravel_multi_index(_cell(ra, dec, bands), (bands, 2 * bands)),
                              minlength=2 * bands * bands)
        if best is not None and np.median(count_C[count_C > 0]) < _SOURCES_PER_CELL:
            break
        best = Footprint(bands, (count_C > 0).reshape(bands, 2 * bands))
    return best


def shifted(regions: Table, survey: Footprint, shifts: int) -> list[Table]:
    """Copies of the regions in the footprint, each region moved in RA to another place in it.

    Deterministic: region r takes the first `shifts` of a fixed sequence of moves that leave it in
    the footprint and at least two semi-major axes from where it was. Regions outside the
    footprint, without an ellipse, or with too few such places are in no copy.

    Returns:
        `shifts` tables of the same regions, with ra changed and `region` = row in `regions`.
    """
    regions = regions.copy()
    regions["region"] = np.arange(len(regions))
    regions = regions[usable_ellipse(regions) & survey.contains(regions["ra"], regions["dec"])]
    move_T = 360 * ((np.arange(1, _TRIES + 1) * _GOLDEN) % 1)
    ra_RT = (np.asarray(regions["ra"])[:, None] + move_T) % 360
    dec_R1 = np.asarray(regions["dec"])[:, None]
    far = separation(np.asarray(regions["ra"])[:, None], dec_R1, ra_RT, dec_R1) \
        > 2 * np.asarray(regions["semi_major"])[:, None]
    good_RT = survey.contains(ra_RT, np.broadcast_to(dec_R1, ra_RT.shape)) & far
    enough = good_RT.sum(1) >= shifts
    # The k-th good move of each region: a stable sort puts the good ones first, in their order.
    chosen_RK = np.argsort(~good_RT[enough], axis=1, kind="stable")[:, :shifts]
    ra_RK = np.take_along_axis(ra_RT[enough], chosen_RK, axis=1)
    copies = []
    for k in range(shifts):
        copy = regions[enough]
        copy["ra"][:] = ra_RK[:, k]
        copies.append(copy)
    return copies


def chance_estimate(
    ra: ArrayLike, dec: ArrayLike, regions: Table, survey: Footprint, shifts: int = 100
) -> Chance:
    """The number of sources expected in the regions by chance, from moved regions.

    Args:
        ra, dec: (S,) ICRS degrees of the sources of interest, e.g. the steep ones.
        regions: R rows of `read_4fgl`.
        survey: of the whole radio catalogue, not of the sources of interest.
        shifts: how many moved sets; at least 2.

    Raises:
        InputError: fewer than 2 shifts, or no region in the footprint can be moved.
    """
    if shifts < 2 or shifts > _TRIES // 2:
        raise InputError(f"{shifts} shifts: the chance estimate needs 2 to {_TRIES // 2} of them.")
    in_survey = int((usable_ellipse(regions) & survey.contains(regions["ra"], regions["dec"])).sum())
    copies = shifted(regions, survey, shifts)
    if not len(copies[0]):
        raise InputError(
            f"none of the {in_survey} regions in the radio survey's footprint can be moved to another "
            f"place in it at the same declination: give a larger radio catalogue or fewer shifts."
        )
    found = [members(ra, dec, copy) for copy in copies]
    sources_K = np.array([len(np.unique(pairs.index1)) for pairs in found])
    fields_K = np.array([len(np.unique(pairs.index2)) for pairs in found])
    root = np.sqrt(shifts)
    return Chance(
        sources_K, fields_K, len(copies[0]), in_survey - len(copies[0]),
        float(sources_K.mean()), float(sources_K.std(ddof=1) / root), float(sources_K.std(ddof=1)),
        float(fields_K.mean()), float(fields_K.std(ddof=1) / root))


def _cell(ra: ArrayLike, dec: ArrayLike, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Strip and cell of a position."""
    strip = ((np.sin(np.radians(dec)) + 1) / 2 * bands).astype(int)
    return np.minimum(strip, bands - 1), (np.asarray(ra) % 360 / 360 * 2 * bands).astype(int) % (2 * bands)
