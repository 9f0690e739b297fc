"""Medians in bins, pull scatter, noise shape and line spread."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.realism.reference import read_coadds, resolution_sigma
from mmae.realism.spectra import bin_edges, measure_spectra, noise_shape, pull_scatter, spectrum_section
from mmae.survey.schema import SurveySpec
from tests.ingest.files import SHARED_GALAXIES, needs_shared
from tests.realism.surveys import table_rows

SPEC = SurveySpec()
WAVELENGTH = SPEC.wavelength_L()


def spectra(rng, n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Flux 2 with noise increasing with wavelength."""
    sigma_L = 0.2 + (WAVELENGTH - 3600) / 6224
    flux_NL = 2.0 + rng.normal(size=(n, WAVELENGTH.size)) * sigma_L
    return flux_NL.astype(np.float32), np.broadcast_to(sigma_L**-2.0, flux_NL.shape).astype(np.float32)


def test_medians_in_bins_equal_numpy(rng):
    flux_NL, ivar_NL = spectra(rng)
    ivar_NL = np.where(rng.random(ivar_NL.shape) < 0.1, 0, ivar_NL)
    found = measure_spectra(flux_NL, ivar_NL, WAVELENGTH)
    edges = bin_edges(WAVELENGTH)
    assert edges[0] == 3600 and edges[-1] >= 9824
    inside = (WAVELENGTH >= 5000) & (WAVELENGTH < 5100)
    good = inside & (ivar_NL[2] > 0)
    b = int(np.searchsorted(edges, 5000.0, side="right")) - 1
    assert found.ivar_NB[2, b] == pytest.approx(np.median(ivar_NL[2][good]))
    assert found.signal_NB[2, b] == pytest.approx(np.median((flux_NL * np.sqrt(ivar_NL))[2][good]), rel=1e-6)
    assert found.bad_NB[2, b] == pytest.approx(1 - good.sum() / inside.sum())


def test_bin_without_good_pixels_is_nan(rng, recwarn):
    flux_NL, ivar_NL = spectra(rng, 2)
    ivar_NL[0, :200] = 0
    found = measure_spectra(flux_NL, ivar_NL, WAVELENGTH)
    assert np.isnan(found.signal_NB[0, 0]) and np.isfinite(found.signal_NB[1, 0]) and found.bad_NB[0, 0] == 1
    assert not recwarn.list


def test_pull_scatter_for_correct_and_wrong_ivar(rng):
    flux_NL, ivar_NL = spectra(rng)
    assert pull_scatter(flux_NL, ivar_NL) == pytest.approx(np.ones(6), abs=0.05)
    assert pull_scatter(flux_NL, 4 * ivar_NL) == pytest.approx(np.full(6, 2.0), abs=0.1)
    assert np.isnan(pull_scatter(flux_NL, np.zeros_like(ivar_NL))).all()


def test_noise_shape_is_one_at_6500(rng):
    measures = measure_spectra(*spectra(rng), WAVELENGTH)
    shape = noise_shape(measures, WAVELENGTH)
    middle = bin_edges(WAVELENGTH)[:-1] + 50
    expected = (0.2 + (middle - 3600) / 6224) / (0.2 + (6550 - 3600) / 6224)
    assert shape[:-1] == pytest.approx(expected[:-1], rel=0.02)


def test_resolution_sigma_of_a_gaussian_and_of_a_delta():
    offset = 5.0 - np.arange(11)
    kernel = np.exp(-0.5 * (offset / 0.9) ** 2)
    matrix = np.stack([np.outer(kernel, np.ones(7)), np.outer(offset == 0, np.ones(7)).astype(float)])
    found = resolution_sigma(matrix, 0.8)
    assert found[0] == pytest.approx(np.full(7, 0.72), rel=1e-3)
    assert found[1] == pytest.approx(np.zeros(7), abs=1e-9)


def test_section_judges_shape_and_pull(rng, objects, reference):
    flux_NL, ivar_NL = spectra(rng)
    measures = measure_spectra(flux_NL, ivar_NL, WAVELENGTH, np.arange(6))
    section = spectrum_section(measures, objects, SPEC, reference)
    assert table_rows(section, "shape")[0]["verdict"].ok is False  # the noise of the synthetic coadds is constant
    assert table_rows(section, "arms")[0]["verdict"].ok is True
    overestimated = measure_spectra(flux_NL, 2 * ivar_NL, WAVELENGTH, np.arange(6))
    wrong = spectrum_section(overestimated, objects, SPEC, None)
    assert table_rows(wrong, "arms")[0]["verdict"].ok is False and "--reference" in wrong.left_out
    without = spectrum_section(None, objects, SPEC, reference)
    assert without.left_out and not without.tables


@needs_shared
def test_redshifts_and_resolution_of_real_coadds():
    real = read_coadds(SHARED_GALAXIES)
    assert real.kind_N.count("quasar") == 5 and real.kind_N.count("galaxy") == 1
    assert np.isfinite(real.redshift_N).all()
    assert len(real.line_spread) == 6
    for wavelength_A, sigma_A in real.line_spread:
        power = wavelength_A / (2.355 * sigma_A)
        assert 1800 < np.median(power) < 6000  # R of the DESI arms: 2000 to 5500
