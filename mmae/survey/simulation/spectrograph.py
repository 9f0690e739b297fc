"""Spectra: DESI's three arms, fibre, sky and bad pixels.

Shape suffix: L wavelength samples.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mmae.survey.schema import SurveySpec
from mmae.survey.simulation.camera import fibre_fraction
from mmae.survey.simulation.population import Profile
from mmae.survey.simulation.seds import Sed, observed_flux

FIBRE_DIAMETER = 1.5  # arcsec, mean over the focal plane (DESI Collaboration 2022)
FIBRE_SEEING = 1.1  # arcsec FWHM at Mayall (DESI Collaboration 2022)
LINE_SPREAD_SIGMA = 0.75  # Angstrom: FWHM 1.8 A in every arm (Guy+2023)

# Noise of one main-survey exposure (1000 s effective) per 0.8 A sample, 1e-17 erg/s/cm2/A:
# (wavelength, sigma) of each arm. Shape and level checked against public DESI tile coadds.
ARM_NOISE = (
    ((3600, 2.8), (3700, 1.9), (3800, 1.5), (4000, 1.1), (4400, 0.80), (4800, 0.62), (5200, 0.55),
     (5600, 0.55), (5750, 0.70), (5800, 2.0)),
    ((5760, 2.0), (5850, 0.60), (6200, 0.42), (6600, 0.36), (7000, 0.33), (7400, 0.36),
     (7560, 0.60), (7620, 2.0)),
    ((7520, 2.0), (7600, 0.60), (7700, 0.42), (8000, 0.34), (8400, 0.29), (8800, 0.28),
     (9200, 0.33), (9600, 0.38), (9824, 0.50)),
)
NOISE_SCATTER = 0.15  # in ln sigma: transparency, seeing and throughput between fibres
# Source flux that doubles the variance, same unit: dark sky of 21 mag/arcsec2 in a fibre,
# brought above the atmosphere and the fibre loss of a point source.
SKY_FLUX = 3.0
BAD_PIXEL_FRACTION = 0.002
COSMIC_RAYS = 3.0  # mean number in a spectrum, each of 3 samples

# Sky lines: air wavelength (Angstrom) and noise relative to the sky between lines
# (wavelengths: Osterbrock+1996).
SKY_LINES = (
    (5577.34, 5.0), (5889.95, 2.0), (5895.92, 1.8), (6300.30, 2.6), (6363.78, 1.8),
    (6498.73, 1.6), (6533.04, 1.6), (6553.62, 1.7), (6863.96, 2.3), (6923.22, 2.0),
    (6948.94, 2.0), (7240.00, 2.8), (7276.41, 3.6), (7284.44, 2.2), (7303.72, 2.0),
    (7316.28, 3.0), (7329.15, 2.2), (7340.89, 3.2), (7358.67, 2.2), (7369.25, 3.3),
    (7401.69, 2.6), (7523.93, 2.4), (7571.75, 1.9), (7712.05, 2.5), (7715.0, 2.5),
    (7750.64, 3.6), (7759.99, 2.0), (7794.11, 3.4), (7808.47, 2.4), (7821.50, 4.0),
    (7841.27, 2.1), (7853.24, 3.9), (7870.6, 2.3), (7890.0, 2.6), (7913.71, 4.2),
    (7921.0, 2.6), (7949.20, 2.0), (7964.65, 3.6), (7993.33, 4.0), (8025.81, 3.4),
    (8061.9, 2.3), (8281.6, 3.3), (8288.6, 4.1), (8298.6, 3.9), (8310.7, 2.2),
    (8344.60, 6.0), (8352.79, 3.4), (8382.39, 2.8), (8399.17, 5.4), (8415.23, 3.4),
    (8430.17, 6.0), (8452.25, 3.2), (8465.36, 5.4), (8493.39, 2.7), (8504.63, 4.1),
    (8548.7, 2.6), (8760.8, 4.8), (8767.91, 5.2), (8778.33, 5.2), (8791.19, 3.2),
    (8827.10, 6.5), (8836.02, 4.7), (8849.05, 2.6), (8867.61, 3.6), (8885.85, 6.0),
    (8903.11, 4.2), (8919.64, 6.4), (8943.39, 3.9), (8958.08, 6.2), (8988.37, 4.2),
    (9001.12, 4.8), (9049.23, 3.5), (9307.7, 5.0), (9313.6, 5.6), (9324.3, 6.0),
    (9337.85, 3.6), (9375.96, 6.5), (9419.73, 4.0), (9439.65, 6.5), (9458.5, 5.6),
    (9476.8, 6.0), (9502.82, 5.8), (9519.5, 6.0), (9552.53, 4.7), (9567.5, 6.0),
    (9607.73, 3.0), (9620.6, 4.0), (9668.6, 2.8), (9699.8, 4.0), (9719.9, 4.6), (9791.2, 6.0),
)
AIR_TO_VACUUM = 1.000275  # to 0.05 A over 5500..9800 A (Ciddor 1996)


def true_spectrum(sed: Sed, redshift: float, profile: Profile, spec: SurveySpec) -> np.ndarray:
    """What a noise-free, flux-calibrated fibre would give (L,), 1e-17 erg/s/cm2/A.

    DESI calibrates on stars, so a point source keeps all its light and a galaxy loses
    what its extent costs beyond a star's loss (Guy+2023).
    """
    point = Profile(1.0, 0.0, 1.0, 0.0)
    kept = (fibre_fraction(profile, FIBRE_SEEING, FIBRE_DIAMETER)
            / fibre_fraction(point, FIBRE_SEEING, FIBRE_DIAMETER))
    return kept * observed_flux(sed, redshift, spec.wavelength_L(), LINE_SPREAD_SIGMA)


@lru_cache(maxsize=2)
def sky_ivar(spec: SurveySpec) -> np.ndarray:
    """Inverse variance (L,) of a blank-sky spectrum; arms are added where they overlap."""
    wavelength_L = spec.wavelength_L()
    ivar_L = np.zeros(wavelength_L.size)
    for nodes in ARM_NOISE:
        node_wavelength, node_sigma = np.array(nodes).T
        sigma_L = np.exp(np.interp(wavelength_L, node_wavelength, np.log(node_sigma)))
        inside_L = (wavelength_L >= node_wavelength[0]) & (wavelength_L <= node_wavelength[-1])
        ivar_L += np.where(inside_L, sigma_L**-2.0, 0)
    excess_L = np.zeros(wavelength_L.size)
    for air, relative in SKY_LINES:
        offset_L = (wavelength_L - air * AIR_TO_VACUUM) / LINE_SPREAD_SIGMA
        excess_L += (relative**2 - 1) * np.exp(-0.5 * np.minimum(offset_L**2, 100))
    return ivar_L / (1 + excess_L)


def observe(rng: np.random.Generator, true_L: np.ndarray,
            spec: SurveySpec) -> tuple[np.ndarray, np.ndarray]:
    """A noisy spectrum: flux_L (1e-17 erg/s/cm2/A) and ivar_L, both float32.

    ivar is the exact inverse variance of the noise; bad pixels have flux and ivar 0.
    """
    ivar_L = sky_ivar(spec) * rng.lognormal(0, NOISE_SCATTER) ** -2
    ivar_L = ivar_L / (1 + np.maximum(true_L, 0) / SKY_FLUX)
    bad_L = rng.random(true_L.size) < BAD_PIXEL_FRACTION
    for start in rng.integers(0, true_L.size, rng.poisson(COSMIC_RAYS)):
        bad_L[start : start + 3] = True
    bad_L |= ivar_L == 0  # outside every arm
    noise_L = rng.standard_normal(true_L.size) / np.sqrt(np.where(bad_L, 1, ivar_L))
    flux_L = np.where(bad_L, 0, true_L + noise_L)
    return flux_L.astype(np.float32), np.where(bad_L, 0, ivar_L).astype(np.float32)
