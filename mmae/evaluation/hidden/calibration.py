"""Calibration of drawn lines: the observed flux of lines that were drawn with a given flux.

Medians over lines chosen by their observed strength cannot reach 1, because what cannot be guessed is not drawn.
Chosen by the drawn flux, the mean observed flux of a calibrated reconstruction equals it, also for lines in the noise:
no observed line is needed. Fluxes are sums over the hidden good samples of a window around the line at the known
redshift, above a straight continuum through the hidden good samples of the fit window on both sides (the same samples
and weights in both spectra).

Shape suffixes: N galaxies, L wavelength samples, K neighbours, D magnitude and colour, M lines of one bin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from sklearn.neighbors import NearestNeighbors

from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.evaluation.lines.catalogue import JUDGED, LINES, Line, blend_of
from mmae.metrics.redshift import MAD_TO_SIGMA

WINDOW = {"narrow": 450.0, "broad": 5000.0}  # half width, km/s; [N II] 6550 is 670 km/s from H-alpha
BESIDE = {"narrow": 1700.0, "broad": 6000.0}  # the continuum begins here, km/s; outside of [N II]
MIN_HIDDEN = 0.5  # hidden good fraction of the window
MIN_BESIDE = 10  # samples of the continuum on each side
REDSHIFT_RIGHT = 1000.0  # km/s: lines are drawn at the model's redshift
NEIGHBOURS = 10  # galaxies of nearly equal magnitude and colour


@dataclass(frozen=True)
class DrawnLines:
    """One line in N galaxies, fluxes in 1e-17 erg/s/cm2; NaN where the line is not in the spectrum or not hidden.

    Attributes:
        drawn_N, observed_N: fluxes in the same samples.
        error_N: error of the observed flux.
        right_N: the model's redshift is within 1000 km/s.
    """

    drawn_N: np.ndarray
    observed_N: np.ndarray
    error_N: np.ndarray
    right_N: np.ndarray


def drawn_lines(
    wavelength_L: np.ndarray,
    flux_NL: np.ndarray,
    ivar_NL: np.ndarray,
    redshift_N: np.ndarray,
    drawn_NL: np.ndarray,
    visible_NL: np.ndarray,
    predicted_N: np.ndarray,
) -> dict[str, DrawnLines]:
    """Fluxes of the judged lines of a batch: key of the line -> fluxes.

    Args:
        wavelength_L: Angstrom, vacuum, evenly spaced.
        redshift_N: known redshifts; NaN where unknown.
        drawn_NL: reconstructed spectra.
        predicted_N: the model's redshifts.
    """
    with np.errstate(invalid="ignore"):
        right_N = np.abs(predicted_N - redshift_N) / (1 + redshift_N) * LIGHT_SPEED_KMS < REDSHIFT_RIGHT
    result = {}
    for line in (line for line in LINES if line.key in JUDGED):
        found_N3 = np.array(
            [
                _fluxes(line, wavelength_L, flux_L, np.where(visible_L, 0.0, ivar_L), z, drawn_L)
                for flux_L, ivar_L, z, drawn_L, visible_L in zip(
                    flux_NL, ivar_NL, redshift_N, drawn_NL, visible_NL, strict=True
                )
            ]
        ).reshape(-1, 3)
        result[line.key] = DrawnLines(*found_N3.T, right_N)
    return result


def join_drawn_lines(parts: Sequence[Mapping[str, DrawnLines]]) -> dict[str, DrawnLines]:
    """Concatenate the lines of several batches."""
    return {
        key: DrawnLines(*(np.concatenate([getattr(p[key], f.name) for p in parts]) for f in fields(DrawnLines)))
        for key in parts[0]
    }


def _fluxes(
    line: Line, wavelength_L: np.ndarray, flux_L: np.ndarray, ivar_L: np.ndarray, z: float, drawn_L: np.ndarray
) -> tuple[float, float, float]:
    """Drawn and observed flux and error of the latter; NaN if the window is not in the hidden samples."""
    nothing = (np.nan, np.nan, np.nan)
    blend = blend_of(line)
    low, high = np.multiply(blend.window, 1 + z)
    if not (low >= wavelength_L[0] and high <= wavelength_L[-1]):  # False for an unknown redshift
        return nothing
    first, last = np.searchsorted(wavelength_L, (low, high))
    wavelength, ivar = wavelength_L[first:last], ivar_L[first:last].astype(np.float64)
    weight_sum = sum(flux for _, flux in line.members) if line.total else line.members[0][1]
    members = line.members if line.total else line.members[:1]
    centre = sum(w * flux for w, flux in members) / weight_sum * (1 + z)
    velocity = (wavelength / centre - 1) * LIGHT_SPEED_KMS
    inside, good = np.abs(velocity) <= WINDOW[blend.kind], ivar > 0
    beside = good & (np.abs(velocity) >= BESIDE[blend.kind])
    used = inside & good
    if used.sum() < MIN_HIDDEN * inside.sum() or not used.any():
        return nothing
    if min((beside & (velocity < 0)).sum(), (beside & (velocity > 0)).sum()) < MIN_BESIDE:
        return nothing
    step = wavelength_L[1] - wavelength_L[0]
    # Linear continuum by weighted least squares: the flux in the window is a linear function of all samples.
    root = np.sqrt(ivar[beside])
    design = np.stack([np.ones(beside.sum()), velocity[beside] / 1e3], 1)
    inverse = np.linalg.inv((design * root[:, None]).T @ (design * root[:, None]))
    sums = np.array([used.sum(), (velocity[used] / 1e3).sum()])  # of the two continuum functions over the window
    linear = (sums @ inverse) @ (design * ivar[beside][:, None]).T

    def flux_of(spectrum_L: np.ndarray) -> float:
        values = spectrum_L[first:last].astype(np.float64)
        return float(step * (values[used].sum() - linear @ values[beside]))

    error = step * np.sqrt((1 / ivar[used]).sum() + sums @ inverse @ sums)
    return flux_of(drawn_L), flux_of(flux_L), float(error)


@dataclass(frozen=True)
class Scatter:
    """Scatter of the observed flux of M lines in units of the median drawn flux, noise of the observation removed.

    Attributes:
        drawn: about the drawn flux.
        neighbours: about the mean observed flux of galaxies of nearly equal magnitude and colour.
        noise: of the observation alone.
    """

    drawn: float
    neighbours: float
    noise: float


def scatter_of(lines: DrawnLines, chosen_N: np.ndarray, property_ND: np.ndarray) -> Scatter:
    """Scatter of the chosen lines about the drawn flux, and about galaxies of equal magnitude and colour.

    Args:
        chosen_N: bool.
        property_ND: magnitude and colour of the galaxies, with nearly the same scatter; NaN where not measured.
            The neighbours are all galaxies whose line was measured, the galaxy itself excluded.
    """
    known_N = np.isfinite(lines.observed_N) & np.isfinite(property_ND).all(1)
    rows = np.flatnonzero(chosen_N & known_N)
    pool = np.flatnonzero(known_N)
    if rows.size < 2 or pool.size <= NEIGHBOURS:
        return Scatter(np.nan, np.nan, np.nan)
    nearest_MK = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(property_ND[pool]).kneighbors(property_ND[rows])[1]
    nearest_MK = pool[nearest_MK]
    own_MK = nearest_MK == rows[:, None]
    own_MK[~own_MK.any(1), -1] = True  # a galaxy with many twins may be missing from its own list
    expected_M = np.where(own_MK, 0.0, lines.observed_N[nearest_MK]).sum(1) / NEIGHBOURS
    scale = float(np.median(lines.drawn_N[rows]))
    observed_M, noise = lines.observed_N[rows], float(np.median(lines.error_N[rows])) / scale

    def beyond_noise(expected: np.ndarray) -> float:
        total = _nmad((observed_M - expected) / scale)
        return float(np.sqrt(max(total**2 - noise**2, 0.0)))

    return Scatter(beyond_noise(lines.drawn_N[rows]), beyond_noise(expected_M), noise)


def _nmad(value_M: np.ndarray) -> float:
    return float(MAD_TO_SIGMA * np.median(np.abs(value_M - np.median(value_M))))
