"""Compactness of simulated Gaussian fits of known size."""

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.steepspec.compactness import compactness


def observed(rng, n, snr, beams):
    """Fluxes and sizes of sources `beams` wide in a 10 arcsec beam, with the errors of Condon (1997)."""
    ratio = 1 + beams**2
    peak_err = 1.0 / snr
    flux_err = ratio * np.sqrt(2) / snr
    peak = 1 + peak_err * rng.normal(size=n)
    flux = ratio + flux_err * rng.normal(size=n)
    major_err = 10 * np.sqrt(ratio) / snr
    major = 10 * np.sqrt(ratio) + major_err * rng.normal(size=n)
    ones = np.ones(n)
    return flux, flux_err * ones, peak, peak_err * ones, major, major_err * ones


@pytest.mark.parametrize("snr", [10.0, 30.0, 200.0])
def test_point_sources_are_rarely_called_extended(snr):
    found = compactness(*observed(np.random.default_rng(0), 4000, snr, 0.0), beam_arcsec=10.0).size
    assert (found == "extended").mean() < 0.003
    assert (found == "compact").mean() > 0.9


@pytest.mark.parametrize(("snr", "beams"), [(20.0, 1.0), (100.0, 0.5)])
def test_extended_sources_are_called_extended(snr, beams):
    found = compactness(*observed(np.random.default_rng(1), 2000, snr, beams), beam_arcsec=10.0)
    assert (found.size == "extended").mean() > 0.9
    assert np.median(found.deconvolved_arcsec) == pytest.approx(10 * beams, rel=0.05)
    assert np.median(found.ln_flux_ratio) == pytest.approx(np.log(1 + beams**2), rel=0.05)


def test_faint_sources_are_rarely_called_compact():
    found = compactness(*observed(np.random.default_rng(2), 1000, 4.0, 0.0), beam_arcsec=10.0).size
    assert (found == "compact").mean() < 0.3


def test_single_and_contradicting_measures():
    flux_only = compactness([2.0, 1.0], [0.1, 0.05], [1.0, 1.0], [0.05, 0.05], beam_arcsec=10.0)
    assert flux_only.size.tolist() == ["extended", "compact"] and np.isnan(flux_only.size_sigma).all()
    both = compactness([2.0], [0.1], [1.0], [0.05], [10.0], [0.2], beam_arcsec=10.0)
    assert both.size.tolist() == ["unknown"]
    size_only = compactness([np.nan], [0.1], [1.0], [0.05], [14.0], [0.2], beam_arcsec=10.0)
    assert size_only.size.tolist() == ["extended"]
    nothing = compactness([np.nan], [0.1], [1.0], [0.05], beam_arcsec=10.0)
    assert nothing.size.tolist() == ["unknown"]


def test_bright_point_sources_are_compact_within_the_systematic_error():
    """3% above the peak at S/N 1000 is within the systematic error of the beam."""
    bright = compactness([1.03], [0.001], [1.0], [0.001], beam_arcsec=10.0)
    assert bright.size.tolist() == ["compact"]


def test_error_names_the_invalid_argument():
    with pytest.raises(InputError, match="beam_arcsec is 0.0"):
        compactness([1.0], [0.1], [1.0], [0.1], beam_arcsec=0.0)
    with pytest.raises(InputError, match="peak_err"):
        compactness([1.0], [0.1], [1.0], [0.1, 0.2], beam_arcsec=5.0)
