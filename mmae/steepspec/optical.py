"""Optical and infrared counterparts of the radio sources, with their colours, morphology and motion.

Each catalogue is searched separately (`counterparts.find_counterparts`), with its own magnitude and
depth. The most reliable counterpart of all catalogues is adopted; colours, morphology and motion are
taken from a catalogue only if its own counterpart is reliable.

Shape suffixes: N radio sources, M objects of a catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from mmae.astro.crossmatch import move_to_epoch
from mmae.steepspec.catalogue import SurveyDescription
from mmae.steepspec.chance import footprint
from mmae.steepspec.config import OpticalSettings
from mmae.steepspec.counterparts import find_counterparts

# Extended in Pan-STARRS: PSF minus Kron magnitude in i (Farrow et al. 2014, MNRAS 437, 748).
EXTENDED_I_KRON = 0.05
NUMBER_COLUMNS = (
    "counterpart_arcsec",
    "optical_limit_mag",
    "optical_mag",
    "w1_mag",
    "w2_mag",
    "parallax_over_error",
    "pm_over_error",
)
TEXT_COLUMNS = ("counterpart_catalogue", "counterpart_id", "morphology")


@dataclass(frozen=True)
class OpticalCatalogue:
    """An optical or infrared survey: its description, and its catalogue in standard columns."""

    survey: SurveyDescription
    table: Table

    @property
    def infrared(self) -> bool:
        return self.survey.magnitude.startswith("w")


def optical_evidence(
    ra_N: np.ndarray,
    dec_N: np.ndarray,
    error_N: np.ndarray,
    epoch: float | None,
    catalogues: Sequence[OpticalCatalogue],
    settings: OpticalSettings,
) -> dict[str, np.ndarray]:
    """Counterparts of N radio sources, as (N,) columns of `schema.SOURCES`.

    Outside the footprints of all catalogues reliability and p_no_counterpart are NaN.

    Args:
        ra_N, dec_N: ICRS degrees.
        error_N: 1-sigma error of one coordinate, arcsec.
        epoch: Julian year of the radio positions, to which the positions in the catalogues are moved by
            their measured proper motions; None: not moved.
        catalogues: in any order.

    Raises:
        InputError: as `find_counterparts`.
    """
    n = len(ra_N)
    columns = {name: np.full(n, np.nan) for name in (*NUMBER_COLUMNS, "reliability", "p_no_counterpart")}
    columns |= {name: np.full(n, "", "U64") for name in TEXT_COLUMNS}
    for catalogue in catalogues:
        table, survey = catalogue.table, catalogue.survey
        ra, dec = _positions(catalogue, epoch)
        rows = np.flatnonzero(footprint(ra, dec).contains(ra_N, dec_N) & survey.covers_declination(dec_N))
        if not len(rows):
            continue
        found = find_counterparts(
            ra_N[rows],
            dec_N[rows],
            error_N[rows],
            ra,
            dec,
            _position_error(table, settings),
            table[survey.magnitude],
            settings.match,
        )
        if not catalogue.infrared:
            columns["optical_limit_mag"][rows] = np.fmax(columns["optical_limit_mag"][rows], survey.limit_mag)
        columns["p_no_counterpart"][rows] = np.fmin(columns["p_no_counterpart"][rows], found.p_none)
        better = ~(found.best_reliability <= columns["reliability"][rows])  # true where it is NaN so far
        columns["reliability"][rows[better]] = found.best_reliability[better]
        named = better & (found.best >= 0)
        columns["counterpart_catalogue"][rows[named]] = survey.name
        columns["counterpart_id"][rows[named]] = np.asarray(table["source_id"], str)[found.best[named]]
        columns["counterpart_arcsec"][rows[named]] = _separation(found)[named]
        reliable = found.best_reliability >= settings.reliable
        _describe(columns, rows[reliable], table[found.best[reliable]], catalogue)
    return columns


def _positions(catalogue: OpticalCatalogue, epoch: float | None) -> tuple[np.ndarray, np.ndarray]:
    table = catalogue.table
    ra, dec = (np.asarray(table[name], np.float64) for name in ("ra", "dec"))
    if epoch is None or catalogue.survey.epoch is None:
        return ra, dec
    return move_to_epoch(ra, dec, table["pmra_mas_yr"], table["pmdec_mas_yr"], catalogue.survey.epoch, epoch)


def _position_error(table: Table, settings: OpticalSettings) -> np.ndarray:
    """(M,) error of one coordinate, arcsec."""
    ra_err, dec_err = (np.asarray(table[name], np.float64) for name in ("ra_err_arcsec", "dec_err_arcsec"))
    error = np.sqrt((ra_err**2 + dec_err**2) / 2)
    return np.where(error > 0, error, settings.position_error_arcsec)


def _separation(found) -> np.ndarray:
    """(N,) separation of the best candidate, arcsec; inf where there is none."""
    n = len(found.best)
    best = found.candidate == found.best[found.source]
    separation = np.full(n, np.inf)
    separation[found.source[best]] = found.separation_arcsec[best]
    return separation


def _describe(columns: dict[str, np.ndarray], rows: np.ndarray, objects: Table, catalogue: OpticalCatalogue) -> None:
    """Set the colours, morphology and motion of these rows from their counterparts in the catalogue."""
    measured = {
        "w1_mag": objects["w1_mag"],
        "w2_mag": objects["w2_mag"],
        "parallax_over_error": objects["parallax_mas"] / objects["parallax_err_mas"],
        "pm_over_error": np.hypot(
            objects["pmra_mas_yr"] / objects["pmra_err_mas_yr"], objects["pmdec_mas_yr"] / objects["pmdec_err_mas_yr"]
        ),
    }
    if not catalogue.infrared:
        measured["optical_mag"] = objects[catalogue.survey.magnitude]
    for name, values in measured.items():
        values = np.asarray(values, np.float64)
        known = np.isfinite(values)
        columns[name][rows[known]] = values[known]
    excess = np.asarray(objects["i_mag"], np.float64) - np.asarray(objects["i_kron_mag"], np.float64)
    known = np.isfinite(excess)
    columns["morphology"][rows[known]] = np.where(excess > EXTENDED_I_KRON, "galaxy", "point")[known]
