"""Fits of many sources, and their adopted spectral index."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.steepspec.config import SEDSettings
from mmae.steepspec.schema import POINTS
from mmae.steepspec.spectra import fits as spectra
from mmae.steepspec.spectra.fits import adopt_index, fit_spectra
from mmae.steepspec.spectra.sed import fit_sed
from mmae.steepspec.tables import as_table

SETTINGS = SEDSettings()


def points(*rows):
    """A table of rows (source, frequency, flux, error, is_limit)."""
    source, frequency, flux, error, limit = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return as_table(
        {
            "source": source,
            "survey": np.full(n, "x"),
            "frequency_mhz": frequency,
            "flux_mjy": flux,
            "error_mjy": error,
            "scale_error": np.full(n, 0.05),
            "is_limit": limit.astype(bool),
            "beam_arcsec": np.full(n, 10.0),
        },
        POINTS,
    )


MANY = points(
    (0, 1006.0, 2.0, 0.1, False),
    (0, 1381.0, 1.0, 0.1, False),
    (2, 1006.0, 2.0, 0.1, False),
    (3, 150.0, 30.0, 5.0, True),
    (3, 1006.0, 2.0, 0.1, False),
    (4, 150.0, 80.0, 5.0, False),
    (4, 1006.0, 2.0, 0.1, False),
    (4, 1381.0, 1.2, 0.1, False),
)


def test_each_source_has_the_fit_of_its_own_points():
    columns = fit_spectra(MANY, 5, SETTINGS)
    for source in (0, 3, 4):
        own = MANY[MANY["source"] == source]
        fit = fit_sed(own["frequency_mhz"], own["flux_mjy"], own["error_mjy"], 0.05, own["is_limit"], 10.0, SETTINGS)
        assert columns["alpha"][source] == fit.alpha and columns["sed_flux_mjy"][source] == fit.flux_mjy
        assert columns["sed_flags"][source] == ",".join(fit.flags)
    assert np.isnan(columns["alpha"][[1, 2]]).all()  # no point; one point
    assert columns["n_detections"].tolist() == [2, 0, 1, 1, 3] and columns["n_limits"].tolist() == [0, 0, 0, 1, 0]


def test_ray_gives_the_same_numbers(ray_cluster, monkeypatch):
    monkeypatch.setattr(spectra, "CHUNK", 1)
    here, there = fit_spectra(MANY, 5, SETTINGS), fit_spectra(MANY, 5, SETTINGS, on_ray=True)
    for name, values in here.items():
        np.testing.assert_array_equal(values, there[name], err_msg=name)


def test_adopted_index():
    nan = np.nan
    columns = {
        "alpha": np.array([-1.6, -2.0, -2.0, nan, -1.2, nan]),
        "alpha_err": np.array([0.1, 0.5, 0.5, nan, 0.1, nan]),
        "p_steep": np.array([0.98, 0.9, 0.9, nan, 0.02, nan]),
        "n_detections": np.array([2, 1, 1, 1, 3, 1]),
        "alpha_catalogue": np.array([-0.5, nan, -1.5, -1.5, -3.0, nan]),
        "alpha_catalogue_err": np.array([0.1, nan, 0.1, nan, 0.1, nan]),
    }
    adopted = adopt_index(columns, SETTINGS)
    assert adopted["alpha_from"].tolist() == ["sed", "limits", "catalogue", "catalogue", "sed", ""]
    np.testing.assert_array_equal(adopted["alpha"], [-1.6, -2.0, -1.5, -1.5, -1.2, nan])
    assert adopted["steep"].tolist() == [True, False, True, True, False, False]  # limits alone are never steep
    assert adopted["p_steep"][2] == pytest.approx(0.8413, abs=1e-3)  # one sigma beyond the limit
    assert np.isnan(adopted["p_steep"][3])  # an index without an error


def adopted(alpha, alpha_err, catalogue, catalogue_err, n_detections=2, flags=""):
    columns = {
        "alpha": alpha,
        "alpha_err": alpha_err,
        "p_steep": 0.5,
        "n_detections": n_detections,
        "alpha_catalogue": catalogue,
        "alpha_catalogue_err": catalogue_err,
        "sed_flags": flags,
    }
    result = adopt_index({name: np.array([value]) for name, value in columns.items()}, SETTINGS)
    return result["alpha"][0], result["alpha_from"][0], bool(result["steep"][0])


def test_a_fit_that_constrains_nothing_is_not_adopted():
    nan = np.nan
    assert adopted(-300.0, 1e7, -0.7, 0.1) == (-0.7, "catalogue", False)
    assert adopted(-300.0, 1e7, -1.6, nan) == (-1.6, "catalogue", True)
    assert adopted(-1.8, 0.2, -0.7, 0.1) == (-1.8, "sed", True)
    # Without a better one it is shown, but the source is not steep.
    assert adopted(-3.0, 1.5, nan, nan) == (-3.0, "sed", False)
    assert adopted(-3.0, 1.5, -4.0, 9.0) == (-3.0, "sed", False)
    assert adopted(nan, nan, -4.0, 9.0) == (-4.0, "catalogue", False)
    # Detections at one frequency, with limits: only the limits constrain alpha.
    assert adopted(-2.5, 0.8, -0.7, 0.1, flags="few_points,no_lever_arm") == (-0.7, "catalogue", False)
    assert adopted(-2.5, 0.8, nan, nan, flags="few_points,no_lever_arm") == (-2.5, "limits", False)
