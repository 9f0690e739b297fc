"""The best non-negative combination of templates at the known redshift: about as well as hidden samples can be known.

Galaxies: the kcorrect templates of the simulation (Blanton & Roweis 2007) with four amounts of dust (Calzetti+2000),
and emission lines in the mean ratios of each component of the width distribution of DESI galaxies
(`mmae/simulation/lines.py`), so that visible lines give hidden ones. Point sources: in addition power laws, broad lines
and iron of the mean quasar (Vanden Berk+2001), behind the mean intergalactic absorption.

Shape suffixes: N spectra, L wavelength samples, K templates, W rest-frame samples, V visible samples.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.optimize import nnls

from mmae.astro.lines import LINE_WAVELENGTH_J, WIDTH_WAVELENGTH_E
from mmae.simulation.dust import transmission
from mmae.simulation.lines import line_fluxes, width_mixture
from mmae.simulation.quasars import MEAN_SLOPE, Quasar, emitted_continuum, lyman_optical_depth
from mmae.simulation.seds import Sed, load_templates, observed_flux

ATTENUATIONS = (0.0, 0.5, 1.0, 2.0)  # A_V, mag
LINE_SIGMA = 100.0  # km/s, typical of star-forming galaxies
INSTRUMENT_SIGMA = 0.75  # Angstrom: resolution of DESI (Guy+2023)
SLOPE_STEP = 0.6  # of quasar power laws about the mean: two standard deviations
STRONG = 4.0  # strength of lines and iron of a template, relative to the mean quasar; a combination may have less
WIDTHS = (0.7, 1.0, 1.4)  # of broad lines, relative to the mean
LARGEST = 3.0  # standard deviation of the prior of amounts, in units of the rms of the visible samples
REST_RANGE = (700.0, 12000.0)  # Angstrom


def best_combination(
    wavelength_L: np.ndarray,
    flux_NL: np.ndarray,
    ivar_NL: np.ndarray,
    visible_NL: np.ndarray,
    redshift_N: np.ndarray,
    point_N: np.ndarray,
) -> np.ndarray:
    """The combination (N,L) fitted to the good visible samples; NaN without a redshift or such samples.

    Args:
        wavelength_L: Angstrom, vacuum.
        point_N: point sources, for which quasar templates are used as well.
    """
    result_NL = np.full(flux_NL.shape, np.nan)
    for n in np.flatnonzero(np.isfinite(redshift_N)):
        used_L = visible_NL[n] & (ivar_NL[n] > 0)
        if not used_L.any():
            continue
        template_KL = templates_at(float(redshift_N[n]), wavelength_L, quasar=bool(point_N[n]))
        weight_V = np.sqrt(ivar_NL[n, used_L])
        # A weak prior keeps templates that are faint in the visible samples from being arbitrarily bright elsewhere.
        known_V = flux_NL[n, used_L] * weight_V
        limit = LARGEST * np.sqrt(np.square(known_V).sum() / np.square(weight_V).sum())
        prior_KK = np.eye(len(template_KL)) / max(limit, np.finfo(float).tiny)
        q_VK, r_KK = np.linalg.qr(np.concatenate([(template_KL[:, used_L] * weight_V).T, prior_KK]))
        amount_K, _ = nnls(r_KK, q_VK[: known_V.size].T @ known_V)
        result_NL[n] = amount_K @ template_KL
    return result_NL


def templates_at(redshift: float, wavelength_L: np.ndarray, *, quasar: bool) -> np.ndarray:
    """Templates (K,L) at a redshift: continua with a mean square of 1, lines at their mean strength with them."""
    continuum_KL = np.stack([observed_flux(sed, redshift, wavelength_L) for sed in _stars()])
    line_KL = np.stack([observed_flux(sed, redshift, wavelength_L, INSTRUMENT_SIGMA) for sed in _lines()])
    line_KL /= max(np.sqrt(np.square(continuum_KL[:: len(ATTENUATIONS)].mean(0)).mean()), np.finfo(float).tiny)
    if quasar:
        absorbed_L = np.exp(-lyman_optical_depth(wavelength_L / (1 + redshift), redshift))
        quasars = [observed_flux(sed, redshift, wavelength_L) * absorbed_L for sed in _quasars()]
        continuum_KL = np.concatenate([continuum_KL, quasars])
    rms_K1 = np.sqrt(np.square(continuum_KL).mean(1, keepdims=True))
    return np.concatenate([continuum_KL / np.where(rms_K1 > 0, rms_K1, 1.0), line_KL])


@lru_cache(maxsize=1)
def _stars() -> tuple[Sed, ...]:
    wavelength_W, flux_KW = load_templates()
    none = np.empty(0)
    return tuple(
        Sed(wavelength_W, flux_W * transmission(wavelength_W, attenuation), none, none, LINE_SIGMA)
        for flux_W in flux_KW
        for attenuation in ATTENUATIONS
    )


@lru_cache(maxsize=1)
def _lines() -> tuple[Sed, ...]:
    """Lines with the widths of each component of the mixture, on the mean of the templates without dust."""
    wavelength_W, flux_KW = load_templates()
    dark_W = np.zeros(wavelength_W.size)
    continuum_E = np.interp(WIDTH_WAVELENGTH_E, wavelength_W, flux_KW.mean(0))
    fluxes = [line_fluxes(10**mean_E, continuum_E)[1] for mean_E in width_mixture().mean_GE]
    return tuple(Sed(wavelength_W, dark_W, LINE_WAVELENGTH_J, flux_J, LINE_SIGMA) for flux_J in fluxes)


@lru_cache(maxsize=1)
def _quasars() -> tuple[Sed, ...]:
    bare = Quasar(MEAN_SLOPE, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, LINE_SIGMA, 0.0)
    shapes = [replace(bare, slope=MEAN_SLOPE + step) for step in (-SLOPE_STEP, 0.0, SLOPE_STEP, 2 * SLOPE_STEP)]
    shapes += [replace(bare, line_strength=STRONG, line_width=width) for width in WIDTHS]
    shapes += [replace(bare, iron_strength=STRONG)]
    wavelength_W = np.geomspace(*REST_RANGE, 8000)
    none = np.empty(0)
    return tuple(Sed(wavelength_W, emitted_continuum(q, wavelength_W), none, none, LINE_SIGMA) for q in shapes)
