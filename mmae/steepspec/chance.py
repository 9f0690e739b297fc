"""Number of chance coincidences in error regions, from regions moved to positions of equal survey depth.

In a survey of the sky regions are moved in right ascension: declination and hence depth, beam and source
density are unchanged. In a survey of single pointings, whose depth falls from the centre of each, they are
moved to the same distance from the centre of any pointing. Only regions in the survey are moved, and only
to positions in the survey, so that the moved fields are covered as well as the real ones. The chance count
includes physical associations at the new positions; for rare sources this is negligible.

Shape suffixes: R regions, S sources, K shifts, T trial positions, C cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import erfa
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from numpy.typing import ArrayLike
from scipy.stats import poisson

from mmae.astro.crossmatch import separation
from mmae.core.errors import InputError
from mmae.steepspec.config import MAX_SHIFTS
from mmae.steepspec.regions import members, usable_ellipse

# Expected sources per cell: with 20, one cell in 5e8 inside the survey is empty by chance.
_SOURCES_PER_CELL = 20
_GOLDEN = (np.sqrt(5) - 1) / 2  # multiples modulo 1 are evenly distributed for any number of them
_TRIES = 2 * MAX_SHIFTS


@dataclass(frozen=True)
class Footprint:
    """Sky area of a catalogue on a grid of equal-area cells: `bands` strips of equal width in
    sin(dec), each divided into 2 `bands` cells in RA. `occupied` is (bands, 2 bands) bool.
    """

    bands: int
    occupied: np.ndarray

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
        """bool: the cell of this position (ICRS degrees) contains a source of the catalogue."""
        return self.occupied[_cell(ra, dec, self.bands)]

    @property
    def area_deg2(self) -> float:
        return float(self.occupied.mean()) * 4 * np.pi * np.degrees(1) ** 2


@dataclass(frozen=True)
class Centres:
    """(C,) centres of the pointings of a survey, ICRS degrees."""

    ra: np.ndarray
    dec: np.ndarray


@dataclass(frozen=True)
class Chance:
    """Counts in K sets of moved regions.

    `sources_K`: number of sources in at least one region; `fields_K`: number of regions with at least
    one source. `mean_sources` +- `error_sources` (of the mean, sd/sqrt(K)); `sd_sources`: standard
    deviation of one set. `regions`: number of regions in the footprint that were moved. `unmoved`:
    regions in the footprint without enough other positions of equal depth; they are in no set.
    """

    sources_K: np.ndarray
    fields_K: np.ndarray
    regions: int
    unmoved: int
    mean_sources: float
    error_sources: float
    sd_sources: float

    def probability(self, observed: int) -> float:
        """Poisson probability of this many sources or more by chance."""
        return float(poisson.sf(observed - 1, self.mean_sources))


def footprint(ra: ArrayLike, dec: ArrayLike) -> Footprint:
    """The sky area that a catalogue covers, inferred from its sources.

    The cells are the smallest with a median of at least 20 sources per occupied cell.

    Args:
        ra, dec: (S,) ICRS degrees.

    Raises:
        InputError: no sources.
    """
    if not np.size(ra):
        raise InputError("no sources to measure the footprint: the catalogue is empty.")
    best = None
    for bands in (4, 8, 16, 32, 64, 128, 256, 512):
        count_C = np.bincount(
            np.ravel_multi_index(_cell(ra, dec, bands), (bands, 2 * bands)), minlength=2 * bands * bands
        )
        if best is not None and np.median(count_C[count_C > 0]) < _SOURCES_PER_CELL:
            break
        best = Footprint(bands, (count_C > 0).reshape(bands, 2 * bands))
    return best


def pointing_centres(ra: ArrayLike, dec: ArrayLike, pointing: ArrayLike) -> Centres:
    """Centres of the pointings: the mean direction of the sources of each, because pointings are round.

    Args:
        ra, dec: (S,) ICRS degrees.
        pointing: (S,) names; sources without one ("") are ignored.
    """
    pointing = np.asarray(pointing, str)
    xyz_S3 = erfa.s2c(np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64)))
    means = [xyz_S3[pointing == name].mean(0) for name in np.unique(pointing[pointing != ""])]
    lon, lat = erfa.c2s(np.array(means).reshape(-1, 3))
    return Centres(np.degrees(lon) % 360, np.degrees(lat))


def shifted(regions: Table, survey: Footprint, shifts: int, centres: Centres | None = None) -> list[Table]:
    """Copies of the regions in the footprint, each region moved to another position in it.

    Deterministic: a region is moved to the first `shifts` positions of a fixed sequence that are in the
    footprint and more than two semi-major axes from its original position. Regions outside the footprint,
    without an ellipse, or with too few such positions are in no copy.

    Args:
        centres: pointing centres of a survey of pointings; None: survey of the sky.

    Returns:
        `shifts` tables of the same regions, with ra and dec changed and `region` = row in `regions`.
    """
    regions = regions.copy()
    regions["region"] = np.arange(len(regions))
    regions = regions[usable_ellipse(regions) & survey.contains(regions["ra"], regions["dec"])]
    ra_R, dec_R = (np.asarray(regions[name], np.float64) for name in ("ra", "dec"))
    ra_RT, dec_RT = _along_strips(ra_R, dec_R, survey) if centres is None else _in_pointings(ra_R, dec_R, centres)
    far_RT = separation(ra_R[:, None], dec_R[:, None], ra_RT, dec_RT) > 2 * np.asarray(regions["semi_major"])[:, None]
    good_RT = far_RT & survey.contains(ra_RT, dec_RT)
    enough = good_RT.sum(1) >= shifts
    # A stable sort puts the valid positions of each region first, in their order.
    chosen_RK = np.argsort(~good_RT[enough], axis=1, kind="stable")[:, :shifts]
    copies = []
    for k in range(shifts):
        copy = regions[enough]
        for name, position_RT in (("ra", ra_RT), ("dec", dec_RT)):
            copy[name][:] = np.take_along_axis(position_RT[enough], chosen_RK[:, k : k + 1], axis=1)[:, 0]
        copies.append(copy)
    return copies


def _along_strips(ra_R: np.ndarray, dec_R: np.ndarray, survey: Footprint) -> tuple[np.ndarray, np.ndarray]:
    """(R, T) positions in the occupied cells of the strip of each region, evenly over these cells."""
    strip_R, _ = _cell(ra_R, dec_R, survey.bands)
    ra_RT = np.empty((len(ra_R), _TRIES))
    for row, (ra, strip) in enumerate(zip(ra_R, strip_R, strict=True)):
        cells = np.flatnonzero(survey.occupied[strip])
        # The sequence starts differently for each region: with equal shifts the counts would be correlated
        # by large-scale structure.
        along_T = (_sequence(_GOLDEN) + ra / 360 + row * np.sqrt(2)) % 1 * len(cells)
        index_T = np.minimum(along_T.astype(int), len(cells) - 1)
        ra_RT[row] = (cells[index_T] + along_T - index_T) / (2 * survey.bands) * 360
    return ra_RT, np.broadcast_to(dec_R[:, None], ra_RT.shape)


def _in_pointings(ra_R: np.ndarray, dec_R: np.ndarray, centres: Centres) -> tuple[np.ndarray, np.ndarray]:
    """(R, T) positions at the same distance from a pointing centre as each region from the nearest one."""
    distance_R = separation(ra_R[:, None], dec_R[:, None], centres.ra[None], centres.dec[None]).min(axis=1)
    row_R1 = np.arange(len(ra_R))[:, None]
    which_RT = ((_sequence(_GOLDEN) + row_R1 * np.sqrt(2)) % 1 * len(centres.ra)).astype(int)
    angle_RT = 2 * np.pi * ((_sequence(np.sqrt(3)) + row_R1 * np.sqrt(5)) % 1)
    centre = SkyCoord(centres.ra[which_RT], centres.dec[which_RT], unit="deg")
    moved = centre.directional_offset_by(angle_RT * u.rad, distance_R[:, None] * u.deg)
    return moved.ra.deg, moved.dec.deg


def _sequence(step: float) -> np.ndarray:
    """(T,) multiples of an irrational number: their fractional parts are evenly distributed in 0 to 1."""
    return np.arange(1, _TRIES + 1) * step


def chance_estimate(
    ra: ArrayLike, dec: ArrayLike, regions: Table, survey: Footprint, shifts: int = 100, centres: Centres | None = None
) -> Chance:
    """The number of sources expected in the regions by chance, from moved regions.

    Args:
        ra, dec: (S,) ICRS degrees of the selected sources, e.g. the steep ones.
        regions: R rows of `read_4fgl`.
        survey: footprint of the whole radio catalogue, not of the selected sources.
        shifts: number of moved sets, 2 to `MAX_SHIFTS`.
        centres: of `pointing_centres`, for a survey of pointings.

    Raises:
        InputError: `shifts` is out of range, or no region in the footprint can be moved.
    """
    if shifts < 2 or shifts > MAX_SHIFTS:
        raise InputError(f"shifts is {shifts}: the chance estimate needs 2 to {MAX_SHIFTS}.")
    in_survey = int((usable_ellipse(regions) & survey.contains(regions["ra"], regions["dec"])).sum())
    copies = shifted(regions, survey, shifts, centres)
    if not len(copies[0]):
        raise InputError(
            f"none of the {in_survey} regions in the footprint of the radio survey can be moved to another "
            f"position of equal depth in it: give a larger radio catalogue or fewer shifts."
        )
    found = [members(ra, dec, copy) for copy in copies]
    sources_K = np.array([len(np.unique(pairs.index1)) for pairs in found])
    fields_K = np.array([len(np.unique(pairs.index2)) for pairs in found])
    sd = sources_K.std(ddof=1)
    return Chance(
        sources_K,
        fields_K,
        len(copies[0]),
        in_survey - len(copies[0]),
        float(sources_K.mean()),
        float(sd / np.sqrt(shifts)),
        float(sd),
    )


def _cell(ra: ArrayLike, dec: ArrayLike, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the strip and cell of a position."""
    strip = ((np.sin(np.radians(dec)) + 1) / 2 * bands).astype(int)
    return np.minimum(strip, bands - 1), (np.asarray(ra) % 360 / 360 * 2 * bands).astype(int) % (2 * bands)
