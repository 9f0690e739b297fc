"""Errors planted in reconstructions come out of the tables; figures hold the right data."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import matplotlib
import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.images import errors, tables
from mmae.evaluation.images.compare import COMPOSITE, OBSERVED, RECONSTRUCTION, VERSIONS, ImageMeasures
from mmae.evaluation.images.figures import magnitude_figure, residual_figure, shape_figure
from mmae.evaluation.images.section import images_section
from mmae.report.contents import Section, Table, leading_texts, numbers
from tests.evaluation.images.cutouts import NOISE_C11, SPEC, catalogue_of, measure, patches, round_galaxies

N = 48
OFFSET_C = np.array([0.3, 0.1, 0.0, -0.1, -0.2])  # mag, planted
SCATTER = 0.05
SCORE = partial(errors.robust, seed=0, resamples=20)


@pytest.fixture(scope="module")
def planted() -> ImageMeasures:
    """Reconstructions without noise, too faint by OFFSET_C with a scatter that all bands share."""
    clean, noisy = round_galaxies(N, 8, noise=0.0), round_galaxies(N, 8, noise=0.0)
    rng = np.random.default_rng(9)
    noisy += NOISE_C11 * rng.standard_normal(noisy.shape)
    magnitude_NC = OFFSET_C + SCATTER * rng.standard_normal((N, 1))
    visible = patches(N, 10)
    visible[:30] = False
    visible[30] = True
    return measure(noisy, clean * 10 ** (-0.4 * magnitude_NC)[..., None, None], visible)


@pytest.fixture(scope="module")
def section(planted) -> Section:
    return images_section(planted, catalogue_of(N), SPEC, seed=0, resamples=60)


def rows_of(table: Table) -> dict[tuple, tuple]:
    """What follows the leading texts of every row, by those texts."""
    leading = [len(leading_texts(row)) for row in table.rows]
    return {row[:k]: row[k:] for row, k in zip(table.rows, leading, strict=True)}


def table(section: Section, name: str) -> dict[tuple, tuple]:
    (found,) = [t for t in section.tables if t.name == name]
    return rows_of(found)


def test_planted_magnitude_errors_come_back(section):
    rows = table(section, "magnitudes")
    assert len(rows) == 20
    for c, band in enumerate(SPEC.bands):
        for aperture in ("1.5 arcsec", "3 arcsec"):
            n, median, error, nmad, _, outliers, *_ = rows["reconstruction", aperture, band]
            assert n == N - 1  # one galaxy is wholly visible
            assert median == pytest.approx(OFFSET_C[c], abs=4 * error) and 0 < error < 0.03
            assert nmad == pytest.approx(SCATTER, rel=0.5)
            assert outliers == pytest.approx(100 * (np.abs(OFFSET_C[c]) >= 0.3) / 2, abs=25)
            # Where something is visible the composite is nearer to what was observed.
            assert abs(rows["composite", aperture, band][1]) <= abs(median) + 1e-3


def test_planted_colour_errors_come_back_and_a_shared_scatter_does_not(section):
    rows = table(section, "colours")
    assert len(rows) == 8
    for c, colour in enumerate(("g-r", "r-i", "i-z", "z-y")):
        n, median, _, nmad, *_ = rows["reconstruction", colour]
        assert n == N - 1 == rows["composite", colour][0]
        assert median == pytest.approx(OFFSET_C[c] - OFFSET_C[c + 1], abs=0.01)
        assert nmad < 0.2 * SCATTER


def test_errors_by_magnitude_and_by_what_was_hidden(section, planted):
    by_magnitude = table(section, "by_magnitude")
    assert list(by_magnitude) == [("19 to 20",)] and by_magnitude["19 to 20",][0] == N - 1
    by_hidden = table(section, "by_hidden")
    assert by_hidden["0.875 to 1",][0] == (planted.hidden_NA[:, 0] > 0.875).sum() >= 30


def test_residual_rows_are_in_units_of_the_noise(planted):
    rng = np.random.default_rng(1)
    clean = round_galaxies(12, 11, noise=0.0)
    perfect = measure(clean + NOISE_C11 * rng.standard_normal(clean.shape), clean, patches(12, 12))
    for row in rows_of(tables.residual_table(perfect, SPEC, SCORE)).values():
        n, offset, _, nmad, _, rms, _, chi2, _, empty = row
        assert n == 12 and abs(offset) < 0.15 and empty > 5 * rms
        # Pixels of the sky dominate chi2; photon noise of these galaxies is not simulated.
        assert nmad == pytest.approx(1, rel=0.12) and rms == pytest.approx(1, rel=0.1) and 0 < chi2 < 1.1
    for _, psnr, _, _, best, empty in rows_of(tables.psnr_table(perfect, SPEC, SCORE)).values():
        assert psnr == pytest.approx(best, abs=0.5) and best > empty + 10


def test_sizes_shapes_and_failures(section, planted):
    rows = table(section, "shapes")
    assert {kind for _, kind, _ in rows} == {"extended"} and len(rows) == 8
    for n, median, _, nmad, _, outliers, _ in rows.values():
        assert n == N - 1 and abs(median) < 0.02 and nmad < 0.03 and outliers == 0
    failed = replace(planted, size_NV=planted.size_NV.copy(), g1_NV=planted.g1_NV.copy(), g2_NV=planted.g2_NV.copy())
    for values in (failed.size_NV, failed.g1_NV, failed.g2_NV):
        values[:10, VERSIONS.index(COMPOSITE)] = np.nan
        values[40:44, VERSIONS.index(OBSERVED)] = np.nan
    rows = rows_of(tables.shape_table(failed, catalogue_of(N), SPEC, SCORE))
    n, *_, outliers, _ = rows["composite", "extended", "g1"]
    assert n == N - 5 and outliers == pytest.approx(100 * 10 / (N - 5))
    assert rows["composite", "extended", "ln half-light radius"][0] == N - 1
    failures = rows_of(tables.failure_table(failed, SPEC))
    assert [failures[v,][1] for v in VERSIONS] == pytest.approx([100 * k / (N - 1) for k in (4, 10, 0)])


def test_size_errors_have_the_sign_of_the_size():
    observed, visible = round_galaxies(8, 13, noise=0.1), np.zeros((8, 64, 64), bool)
    larger = np.stack([np.kron(image, np.ones((1, 2, 2)))[:, 32:96, 32:96] / 4 for image in observed])
    found = measure(observed, larger, visible)
    errors_of = errors.shape_errors(found, RECONSTRUCTION)
    np.testing.assert_allclose(errors_of[errors.SIZE], np.log(2), atol=0.05)
    assert (errors_of[errors.RADIUS] > 0.3).all()  # less than ln 2: 3 arcsec do not hold all of it


def test_faint_or_visible_galaxies_are_no_test(planted):
    usable_NC = errors.usable_flux(planted, SPEC, 1.5)
    assert not usable_NC[30].any() and usable_NC[[29, 31]].all()
    faint = replace(planted, flux_NVAC=planted.flux_NVAC.copy())
    limit = errors.LEAST_SNR * planted.flux_NVAC[:, 0, 0] / errors.observed_snr(planted, SPEC, 1.5)
    faint.flux_NVAC[0, 0, 0, 1], faint.flux_NVAC[1, 0, 0, 1] = 0.99 * limit[0, 1], 1.01 * limit[1, 1]
    usable_NC = errors.usable_flux(faint, SPEC, 1.5)
    assert usable_NC[0].tolist() == [True, False, True, True, True] and usable_NC[1].all()
    assert errors.usable_colour(faint, SPEC, 1.5)[0].tolist() == [False, False, True, True]
    assert errors.usable_shape(planted, SPEC)[:30].all() and not errors.usable_shape(planted, SPEC)[30]


def test_light_that_is_not_positive_is_an_outlier(planted):
    dark = replace(planted, flux_NVAC=planted.flux_NVAC.copy())
    dark.flux_NVAC[:5, 1:] = -1.0
    rows = rows_of(tables.magnitude_table(dark, SPEC, SCORE))
    assert rows["composite", "3 arcsec", "i"][5] == pytest.approx(100 * 5 / (N - 1))


def test_robust_scores():
    error_N = np.r_[np.full(6, 0.1), np.full(3, 0.4), np.nan]
    found = errors.robust(error_N, 0.3, seed=0, resamples=20)
    assert found.median.value == pytest.approx(0.1) and found.median.n == 9
    assert found.outliers.value == pytest.approx(0.4) and found.outliers.n == 10
    assert errors.robust(np.zeros(0), 0.3, seed=0, resamples=20).outliers.n == 0


def test_types():
    catalogue = catalogue_of(3)
    catalogue.morphtype_N[:] = ["PSF", "", "REX"]
    assert tables.kinds(catalogue).tolist() == ["point source", "unknown type", "extended"]


def test_every_number_has_a_name_of_its_own(section):
    names = numbers([section])
    cells = sum(isinstance(c, (int, float)) and np.isfinite(c) for t in section.tables for r in t.rows for c in r)
    assert len(names) == cells
    assert names["images/magnitudes/composite_3_arcsec_i/n"] == N - 1
    assert "48 galaxies" in section.text and "nothing in 1 galaxies" in section.text and not section.left_out


def test_what_cannot_be_compared_is_said(planted):
    nothing = images_section(
        measure(np.zeros((3, *SPEC.image_shape)), np.zeros((3, *SPEC.image_shape)), patches(3, 0)),
        catalogue_of(3),
        SPEC,
        seed=0,
    )
    assert "no galaxy has an image" in nothing.left_out and not nothing.tables
    with pytest.raises(InputError, match="48 galaxies were measured and the catalogue has 3"):
        images_section(planted, catalogue_of(3), SPEC, seed=0)


def test_figures_show_the_measurements(planted):
    axes = residual_figure(planted, SPEC).axes
    assert [ax.get_title() for ax in axes] == ["$g$", "$r$", "$i$", "$z$", "$y$"]
    for patch in (p for ax in axes for p in ax.patches):
        stairs = patch.get_data()
        assert (stairs.values * np.diff(stairs.edges)).sum() == pytest.approx(1)
    catalogue = replace(catalogue_of(N), mag_NC=np.linspace(18, 21, 5 * N).reshape(N, 5))
    axes = magnitude_figure(planted, catalogue, SPEC).axes
    points = axes[2].lines[0]
    np.testing.assert_array_equal(points.get_xdata(), np.delete(catalogue.mag_NC[:, 2], 30))
    error_N = np.delete(errors.magnitude_errors(planted, COMPOSITE, 3.0)[:, 2], 30)
    np.testing.assert_array_equal(points.get_ydata(), error_N)
    assert axes[2].get_title() == "$i$, n = 47" and axes[5].get_title() == "$g-r$, n = 47"
    axes = shape_figure(planted, SPEC).axes
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), np.delete(planted.radius_NV[:, 1], 30))
    np.testing.assert_array_equal(axes[4].lines[0].get_ydata(), np.delete(planted.g1_NV[:, 2], 30))


def test_figures_without_a_galaxy_to_test_say_so(planted):
    visible = replace(planted, hidden_NA=np.zeros_like(planted.hidden_NA))
    for figure in (magnitude_figure(visible, catalogue_of(N), SPEC), shape_figure(visible, SPEC)):
        texts = [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
        assert "no galaxy to test" in texts


def test_a_density_is_drawn_for_many_galaxies_some_of_them_dark(planted):
    many = ImageMeasures(*(np.tile(v, (50, *[1] * (v.ndim - 1))) for v in vars(planted).values()))
    many.flux_NVAC[::3, 1:] = -1.0
    catalogue = catalogue_of(len(many))
    axes = magnitude_figure(many, catalogue, SPEC).axes
    cells = axes[2].collections[0].get_array()
    shown = np.abs(errors.magnitude_errors(many, COMPOSITE, 3.0)[:, 2]) <= 0.6
    assert cells.sum() == (shown & errors.usable_flux(many, SPEC, 3.0)[:, 2]).sum()
    assert any("beyond the axis" in t.get_text() for t in axes[2].texts)
