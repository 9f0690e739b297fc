"""Spectrum figures: line positions, masked ranges, smoothing and absent spectra."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.plots import spectrum as fs
from mmae.report.style import GREEN
from tests.plots.inspect_figures import SPEC, WAVELENGTH, coloured, line, texts


def spectra_figure(rng, redshifts, **changes):
    n = len(redshifts)
    parts = {
        "flux_NL": 3.0 + 0.1 * rng.standard_normal((n, 800)),
        "ivar_NL": np.full((n, 800), 100.0),
        "reconstruction_NL": np.full((n, 800), 3.0),
        "visible_NL": np.ones((n, 800), bool),
    } | changes
    figure = fs.spectrum_reconstruction_figure(
        WAVELENGTH, redshift_N=redshifts, titles=[f"galaxy {i}" for i in range(n)], **parts
    )
    return figure, figure.axes


def test_lines_are_marked_at_the_redshifted_wavelength(rng):
    redshifts = [0.08, 2.5, np.nan]
    _, axes = spectra_figure(rng, redshifts)
    assert len(axes) == 3
    for ax, z in zip(axes, redshifts, strict=True):
        marks = {a.get_text(): a.xy[0] for a in ax.texts}
        low, high = ax.get_xlim()
        expected = {li.name: (1 + z) * li.wavelength for li in fs.LINES if low < (1 + z) * li.wavelength < high}
        assert marks == pytest.approx(expected)
        assert sorted(li.get_xdata()[0] for li in coloured(ax, GREEN)) == pytest.approx(sorted(expected.values()))
    names = {a.get_text() for a in axes[1].texts}
    assert names == {r"Ly$\alpha$", "C IV", "C III]", "Mg II"}


def test_line_list_has_vacuum_wavelengths():
    # Air wavelengths (NIST) by the inverse of Morton (2000, ApJS 130, 403, eq. 8).
    for name, air in (
        (r"H$\alpha$", 6562.8),
        (r"H$\beta$", 4861.3),
        ("[O III]", 5006.8),
        ("Ca K", 3933.66),
        ("Ca H", 3968.47),
        ("Na D", 5892.94),
    ):
        (found,) = [li for li in fs.LINES if li.name == name]
        s2 = (1e4 / found.wavelength) ** 2
        index = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2)
        assert found.wavelength / index == pytest.approx(air, abs=0.1)


def test_masked_ranges_are_shaded(rng):
    visible = np.ones((1, 800), bool)
    visible[0, :10] = visible[0, 100:200] = visible[0, 799] = False
    _, (ax,) = spectra_figure(rng, [np.nan], visible_NL=visible)
    half = 0.5 * SPEC.wavelength_step
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    expected = [(WAVELENGTH[a] - half, WAVELENGTH[b] + half) for a, b in ((0, 9), (100, 199), (799, 799))]
    np.testing.assert_allclose(spans, expected)


def test_observed_flux_is_the_ivar_weighted_mean_without_bad_pixels(rng):
    flux = rng.normal(3.0, 0.1, (1, 800))
    ivar = rng.uniform(50, 150, (1, 800))
    ivar[0, 300:320], flux[0, 300:320] = 0.0, 1e9
    flux[0, 50] = np.nan
    figure, (ax,) = spectra_figure(rng, [0.1], flux_NL=flux, ivar_NL=ivar)
    (observed,) = [li for li in ax.get_lines() if str(li.get_label()).startswith("observed")]
    drawn = observed.get_ydata()
    assert np.isnan(drawn[300:320]).all() and np.isnan(drawn[50])
    window = slice(400 - 2, 400 + 3)
    assert drawn[400] == pytest.approx(np.average(flux[0, window], weights=ivar[0, window]))
    assert drawn[299] == pytest.approx(np.average(flux[0, 297:300], weights=ivar[0, 297:300]))
    assert np.nanmax(drawn) < 4 and ax.get_ylim()[1] < 5
    assert observed.get_label() in texts(figure)
    np.testing.assert_array_equal(line(ax, "reconstruction").get_ydata(), 3.0)


@pytest.mark.parametrize("width", [1, 4, 5, 2000])
def test_smoothing_of_a_constant_spectrum(width):
    smooth, error = fs.smooth_by_ivar(np.full(30, 2.0), np.full(30, 4.0), width)
    np.testing.assert_allclose(smooth, 2.0)
    assert smooth.shape == error.shape == (30,)
    assert error[15] == pytest.approx(0.5 / np.sqrt(min(width, 30)))


def test_y_range_includes_emission_lines_but_not_noise_spikes(rng):
    flux, ivar = 3.0 + 0.1 * rng.standard_normal((1, 800)), np.full((1, 800), 100.0)
    flux[0, 400:405] += 50.0
    flux[0, 600], ivar[0, 598:603] = 500.0, 1e-6  # noise spike with low ivar
    _, (ax,) = spectra_figure(rng, [0.1], flux_NL=flux, ivar_NL=ivar)
    assert 53 < ax.get_ylim()[1] < 80


def test_absent_spectrum_shows_the_reconstruction_only(rng):
    flux, ivar = np.zeros((3, 800)), np.zeros((3, 800))
    flux[0], ivar[0] = 1.0, 1.0
    reconstruction = np.full((3, 800), 2.0)
    reconstruction[2] = np.nan
    figure, axes = spectra_figure(rng, [0.1, 0.1, 0.1], flux_NL=flux, ivar_NL=ivar, reconstruction_NL=reconstruction)
    is_absent = ["no spectrum" in [t.get_text() for t in ax.texts] for ax in axes]
    assert is_absent == [False, True, True]
    assert line(axes[1], "reconstruction").get_ydata()[0] == 2.0
    assert not axes[2].get_lines()
    assert len(axes[2].get_xticks()) > 2  # the last panel has the common x axis
    figure.draw_without_rendering()


def test_spectra_of_zero_length():
    nothing = np.empty((2, 0))
    figure = fs.spectrum_reconstruction_figure([], nothing, nothing, nothing, nothing, [0.1, 0.2], ["a", "b"])
    assert texts(figure) == ["no spectrum"]
    assert fs.masked_spans(np.empty(0), np.empty(0)) == []


def test_spectra_of_wrong_length_are_refused(rng):
    with pytest.raises(InputError, match=r"ivar .*\(1, 7\)"):
        spectra_figure(rng, [0.1], ivar_NL=np.ones((1, 7)))
