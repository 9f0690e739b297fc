"""Measures of a few galaxies and quasars with perfect and poor reconstructions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from mmae.evaluation.lines.batch import SpectraMeasures, measure_spectra
from mmae.evaluation.lines.measure import Reconstruction
from tests.evaluation.lines.spectra import IVAR, WAVELENGTH, noisy, smooth_galaxy, smooth_quasar

GALAXIES, QUASARS, BLUR = 20, 11, 8.0  # blur: Angstrom


@dataclass(frozen=True)
class Sample:
    """Spectra (N,L), noise-free and observed, galaxies first and quasars last."""

    redshift: np.ndarray
    clean: np.ndarray
    bare: np.ndarray  # without lines
    flux: np.ndarray
    ivar: np.ndarray

    def reconstructions(self) -> dict[str, Reconstruction]:
        """Perfect in hidden samples and 1e5 in visible ones; blurred; without lines."""
        rng = np.random.default_rng(9)
        patches = np.repeat(rng.random((len(self.redshift), 61)) < 0.25, 128, axis=1)[:, : WAVELENGTH.size]
        hidden = np.zeros_like(patches)
        return {
            "75% masked": Reconstruction(np.where(patches, 1e5, self.clean), patches),
            "blurred": Reconstruction(gaussian_filter1d(self.clean, BLUR / 0.8, axis=1, mode="nearest"), hidden),
            "bare": Reconstruction(self.bare, hidden),
        }


@pytest.fixture(scope="package")
def sample() -> Sample:
    rng = np.random.default_rng(21)
    redshift = np.concatenate(
        [rng.uniform(0.101, 0.199, 12), rng.uniform(0.2, 0.3, GALAXIES - 12), rng.uniform(2.1, 2.7, QUASARS)]
    )
    made = [
        (smooth_galaxy(z, 60.0, nii=0.3, lines=True), smooth_galaxy(z, 60.0, lines=False))
        if z < 1
        else (smooth_quasar(z), smooth_quasar(z, lines=False))
        for z in redshift
    ]
    clean, bare = (np.stack(rows) for rows in zip(*made, strict=True))
    ivar = np.broadcast_to(IVAR, clean.shape).copy()
    ivar[rng.random(ivar.shape) < 0.002] = 0.0
    return Sample(redshift, clean, bare, noisy(clean, ivar, rng), ivar)


@pytest.fixture(scope="package")
def measured(sample) -> SpectraMeasures:
    return measure_spectra(WAVELENGTH, sample.flux, sample.ivar, sample.redshift, sample.reconstructions())
