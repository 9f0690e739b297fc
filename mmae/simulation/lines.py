"""Nebular emission lines: equivalent widths drawn from a fit to DESI galaxies, and line fluxes.

The joint distribution of the six strongest widths is a Gaussian mixture in log10, fitted to 43,752
galaxies of the DESI Bright Galaxy Survey at 0.06 < z < 0.3 by extreme deconvolution (Bovy+2011), which
removes the measurement errors (`docs/fits/line_widths.py` writes line_widths.json). All six lines are in
emission in those galaxies; passive galaxies are drawn separately.

Shape suffixes: E the six widths of LINE_NAMES, G mixture components, J single lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from mmae.astro.lines import (
    HALPHA,
    HALPHA_WAVE,
    HBETA,
    HBETA_WAVE,
    HDELTA,
    HGAMMA,
    LINE_NAMES,
    NII_RATIO,
    OII_RATIO,
    OIII_RATIO,
    SII_RATIO,
)
from mmae.simulation.dust import R_V, STELLAR_SHARE, calzetti_k

CASE_B = {"halpha": 2.86, "hgamma": 0.468, "hdelta": 0.259}  # relative to H-beta, 1e4 K (Osterbrock & Ferland 2006)

WIDTH_RANGE = (1e-2, 1e3)  # Angstrom, rest frame
# The specific star formation rate, and with it the H-alpha width, increases as (1+z)^1.8 (Fumagalli+2012)
# above the median redshift of the fitted galaxies.
EVOLUTION, PIVOT_REDSHIFT = 1.8, 0.2
# The fitted table has no galaxies without lines. Passive galaxies use the mixture's weakest component,
# shifted so that H-alpha is below 0.5 A, the limit of passive galaxies in Cid Fernandes+2011.
PASSIVE_SHIFT = -0.8  # dex
BALMER_CONTINUUM = 0.80  # continuum at H-alpha / continuum at H-beta, star-forming galaxy, no dust
ATTENUATION_MAX = 2.0  # mag


@dataclass(frozen=True)
class WidthMixture:
    """A Gaussian mixture of log10 rest-frame equivalent widths (Angstrom)."""

    weight_G: np.ndarray
    mean_GE: np.ndarray
    cholesky_GEE: np.ndarray


@lru_cache(maxsize=1)
def width_mixture() -> WidthMixture:
    """The fitted mixture, from line_widths.json."""
    values = json.loads((files("mmae.simulation") / "line_widths.json").read_text())
    weight_G = np.array(values["weight"])
    return WidthMixture(
        weight_G / weight_G.sum(), np.array(values["mean"]), np.linalg.cholesky(np.array(values["covariance"]))
    )


def draw_widths(rng: np.random.Generator, redshift: float, starburst: bool = False) -> np.ndarray:
    """Rest-frame equivalent widths (E,) in Angstrom of a star-forming galaxy.

    Args:
        starburst: use only components with a mean H-alpha width above that of the mixture, as for
            galaxies selected by [O II] emission.
    """
    mixture = width_mixture()
    weight_G = mixture.weight_G
    if starburst:
        halpha_G = mixture.mean_GE[:, HALPHA]
        weight_G = np.where(halpha_G > weight_G @ halpha_G, weight_G, 0)
    widths_E = _draw(rng, rng.choice(len(weight_G), p=weight_G / weight_G.sum()))
    growth = ((1 + max(redshift, PIVOT_REDSHIFT)) / (1 + PIVOT_REDSHIFT)) ** EVOLUTION
    return np.clip(widths_E * growth, *WIDTH_RANGE)


def draw_passive_widths(rng: np.random.Generator) -> np.ndarray:
    """Rest-frame equivalent widths (E,) in Angstrom of a passive galaxy."""
    weakest = int(np.argmin(width_mixture().mean_GE[:, HALPHA]))
    return np.clip(_draw(rng, weakest) * 10**PASSIVE_SHIFT, *WIDTH_RANGE)


def _draw(rng: np.random.Generator, component: int) -> np.ndarray:
    mixture = width_mixture()
    normal_E = rng.standard_normal(len(LINE_NAMES))
    return 10 ** (mixture.mean_GE[component] + mixture.cholesky_GEE[component] @ normal_E)


def attenuation_from_lines(widths_E: np.ndarray) -> float:
    """Stellar A_V in mag from the Balmer decrement implied by the widths."""
    excess = widths_E[HALPHA] / widths_E[HBETA] * BALMER_CONTINUUM / CASE_B["halpha"]
    return float(min(STELLAR_SHARE * R_V * _gas_reddening(excess), ATTENUATION_MAX))


def _gas_reddening(decrement_excess: float) -> float:
    """E(B-V) in mag from H-alpha / H-beta relative to its dust-free value; 0 if the ratio is below 1."""
    k_hbeta, k_halpha = calzetti_k(np.array([HBETA_WAVE, HALPHA_WAVE]))
    return float(2.5 * np.log10(max(decrement_excess, 1.0)) / (k_hbeta - k_halpha))


def line_fluxes(widths_E: np.ndarray, continuum_E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Line fluxes from equivalent widths.

    Args:
        widths_E: rest-frame equivalent widths, Angstrom.
        continuum_E: continuum at WIDTH_WAVELENGTH_E, any unit per Angstrom.

    Returns:
        Fluxes of the six lines of LINE_NAMES (E,) and of all single lines of LINE_WAVELENGTH_J (J,).
    """
    flux_E = widths_E * continuum_E
    oii, hbeta, oiii, halpha, nii, sii = flux_E
    # Higher Balmer lines: case B ratios with the reddening from H-alpha / H-beta.
    reddening = _gas_reddening(halpha / hbeta / CASE_B["halpha"])
    k_hbeta, k_hgamma, k_hdelta = calzetti_k(np.array([HBETA_WAVE, HGAMMA, HDELTA]))
    hgamma = CASE_B["hgamma"] * hbeta * 10 ** (-0.4 * reddening * (k_hgamma - k_hbeta))
    hdelta = CASE_B["hdelta"] * hbeta * 10 ** (-0.4 * reddening * (k_hdelta - k_hbeta))
    flux_J = np.array(
        [
            oii / (1 + OII_RATIO),
            oii * OII_RATIO / (1 + OII_RATIO),
            hdelta,
            hgamma,
            hbeta,
            oiii / OIII_RATIO,
            oiii,
            nii / NII_RATIO,
            halpha,
            nii,
            sii,
            sii / SII_RATIO,
        ]
    )
    return flux_E, flux_J
