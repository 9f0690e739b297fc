"""Tables recover injected errors of reconstructions; figures show the correct data."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import matplotlib
import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.images import errors, tables
from mmae.evaluation.images.compare import COMPOSITE, OBSERVED, RECONSTRUCTION, VERSIONS, ImageMeasures
from mmae.evaluation.images.figures import NO_GALAXY, magnitude_figure, residual_figure, shape_figure
from mmae.evaluation.images.section import images_section
from mmae.report.contents import Section, Table, leading_texts, numbers
from tests.evaluation.cells import n_numbers
from tests.evaluation.images.cutouts import NOISE_C11, SPEC, catalogue_of, measure, patches, round_galaxies

N = 48
OFFSET_C = np.array([0.3, 0.1, 0.0, -0.1, -0.2])  # mag, injected
SCATTER = 0.05
SCORE = partial(errors.robust, seed=0, resamples=20)


@pytest.fixture(scope="module")
def injected() -> ImageMeasures:
    """Noise-free reconstructions, too faint by OFFSET_C, with a scatter common to all bands."""
    clean, noisy = round_galaxies(N, 8, noise=0.0), round_galaxies(N, 8, noise=0.0)
    rng = np.random.default_rng(9)
    noisy += NOISE_C11 * rng.standard_normal(noisy.shape)
    magnitude_NC = OFFSET_C + SCATTER * rng.standard_normal((N, 1))
    visible = patches(N, 10)
    visible[:30] = False
    visible[30] = True
    return measure(noisy, clean * 10 ** (-0.4 * magnitude_NC)[..., None, None], visible)


@pytest.fixture(scope="module")
def section(injected) -> Section:
    return images_section(injected, catalogue_of(N), SPEC, seed=0, resamples=60)


def rows_of(table: Table) -> dict[tuple, tuple]:
    """Leading texts of a row -> its other cells."""
    leading = [len(leading_texts(row)) for row in table.rows]
    return {row[:k]: row[k:] for row, k in zip(table.rows, leading, strict=True)}


def table(section: Section, name: str) -> dict[tuple, tuple]:
    (found,) = [t for t in section.tables if t.name == name]
    return rows_of(found)


def test_injected_magnitude_errors_are_recovered(section):
    rows = table(section, "magnitudes")
    assert len(rows) == 20
    for c, band in enumerate(SPEC.bands):
        for aperture in ("1.5 arcsec", "3 arcsec"):
            n, median, nmad, outliers, *_ = rows["reconstruction", aperture, band]
            assert n == N - 1  # one galaxy is fully visible
            assert median.value == pytest.approx(OFFSET_C[c], abs=4 * median.error) and 0 < median.error < 0.03
            assert nmad.value == pytest.approx(SCATTER, rel=0.5)
            assert outliers.value == pytest.approx(100 * (np.abs(OFFSET_C[c]) >= 0.3) / 2, abs=25)
            # The composite contains visible pixels as observed, so its error is smaller.
            assert abs(rows["composite", aperture, band][1].value) <= abs(median.value) + 1e-3


def test_injected_colour_errors_are_recovered_and_common_scatter_cancels(section):
    rows = table(section, "colours")
    assert len(rows) == 8
    for c, colour in enumerate(("g-r", "r-i", "i-z", "z-y")):
        n, median, nmad, *_ = rows["reconstruction", colour]
        assert n == N - 1 == rows["composite", colour][0]
        assert median.value == pytest.approx(OFFSET_C[c] - OFFSET_C[c + 1], abs=0.01)
        assert nmad.value < 0.2 * SCATTER


def test_numbers_of_galaxies_by_magnitude_and_by_hidden_fraction(section, injected):
    by_magnitude = table(section, "by_magnitude")
    assert list(by_magnitude) == [("19 to 20",)] and by_magnitude["19 to 20",][0] == N - 1
    by_hidden = table(section, "by_hidden")
    assert by_hidden["0.875 to 1",][0] == (injected.hidden_NA[:, 0] > 0.875).sum() >= 30


def test_residual_rows_are_in_units_of_the_noise(injected):
    rng = np.random.default_rng(1)
    clean = round_galaxies(12, 11, noise=0.0)
    perfect = measure(clean + NOISE_C11 * rng.standard_normal(clean.shape), clean, patches(12, 12))
    for row in rows_of(tables.residual_table(perfect, SPEC, SCORE)).values():
        n, offset, nmad, rms, chi2, empty = row
        assert n == 12 and abs(offset.value) < 0.15 and empty > 5 * rms.value
        # Sky pixels dominate chi2; photon noise of these galaxies is not simulated.
        assert nmad.value == pytest.approx(1, rel=0.12) and rms.value == pytest.approx(1, rel=0.1)
        assert 0 < chi2.value < 1.1
    for _, psnr, _, best, empty in rows_of(tables.psnr_table(perfect, SPEC, SCORE)).values():
        assert psnr.value == pytest.approx(best, abs=0.5) and best > empty + 10


def test_sizes_shapes_and_failures(section, injected):
    rows = table(section, "shapes")
    assert {kind for _, kind, _ in rows} == {"extended"} and len(rows) == 8
    for n, median, nmad, outliers in rows.values():
        assert n == N - 1 and abs(median.value) < 0.02 and nmad.value < 0.03 and outliers.value == 0
    failed = replace(
        injected, size_NV=injected.size_NV.copy(), g1_NV=injected.g1_NV.copy(), g2_NV=injected.g2_NV.copy()
    )
    for values in (failed.size_NV, failed.g1_NV, failed.g2_NV):
        values[:10, VERSIONS.index(COMPOSITE)] = np.nan
        values[40:44, VERSIONS.index(OBSERVED)] = np.nan
    rows = rows_of(tables.shape_table(failed, catalogue_of(N), SPEC, SCORE))
    n, *_, outliers = rows["composite", "extended", "g1"]
    assert n == N - 5 and outliers.value == pytest.approx(100 * 10 / (N - 5))
    assert rows["composite", "extended", "ln half-light radius"][0] == N - 1
    failures = rows_of(tables.failure_table(failed, SPEC))
    assert [failures[v,][1].value for v in VERSIONS] == pytest.approx([100 * k / (N - 1) for k in (4, 10, 0)])


def test_size_errors_are_positive_for_too_large_reconstructions():
    observed, visible = round_galaxies(8, 13, noise=0.1), np.zeros((8, 64, 64), bool)
    larger = np.stack([np.kron(image, np.ones((1, 2, 2)))[:, 32:96, 32:96] / 4 for image in observed])
    found = measure(observed, larger, visible)
    errors_of = errors.shape_errors(found, RECONSTRUCTION)
    np.testing.assert_allclose(errors_of[errors.SIZE], np.log(2), atol=0.05)
    assert (errors_of[errors.RADIUS] > 0.3).all()  # less than ln 2: part of the light is outside 3 arcsec


def test_faint_and_fully_visible_galaxies_are_excluded(injected):
    usable_NC = errors.usable_flux(injected, SPEC, 1.5)
    assert not usable_NC[30].any() and usable_NC[[29, 31]].all()
    faint = replace(injected, flux_NVAC=injected.flux_NVAC.copy())
    limit = errors.MIN_SNR * injected.flux_NVAC[:, 0, 0] / errors.observed_snr(injected, SPEC, 1.5)
    faint.flux_NVAC[0, 0, 0, 1], faint.flux_NVAC[1, 0, 0, 1] = 0.99 * limit[0, 1], 1.01 * limit[1, 1]
    usable_NC = errors.usable_flux(faint, SPEC, 1.5)
    assert usable_NC[0].tolist() == [True, False, True, True, True] and usable_NC[1].all()
    assert errors.usable_colour(faint, SPEC, 1.5)[0].tolist() == [False, False, True, True]
    assert errors.usable_shape(injected, SPEC)[:30].all() and not errors.usable_shape(injected, SPEC)[30]


def test_negative_flux_is_an_outlier(injected):
    dark = replace(injected, flux_NVAC=injected.flux_NVAC.copy())
    dark.flux_NVAC[:5, 1:] = -1.0
    rows = rows_of(tables.magnitude_table(dark, SPEC, SCORE))
    assert rows["composite", "3 arcsec", "i"][3].value == pytest.approx(100 * 5 / (N - 1))


def test_robust_scores():
    error_N = np.r_[np.full(6, 0.1), np.full(3, 0.4), np.nan]
    found = errors.robust(error_N, 0.3, seed=0, resamples=20)
    assert found.median.value == pytest.approx(0.1) and found.median.n == 9
    assert found.outliers.value == pytest.approx(0.4) and found.outliers.n == 10
    assert errors.robust(np.zeros(0), 0.3, seed=0, resamples=20).outliers.n == 0


def test_types_from_the_tractor_type():
    catalogue = catalogue_of(3)
    catalogue.morphtype_N[:] = ["PSF", "", "REX"]
    assert tables.kinds(catalogue).tolist() == ["point source", "unknown type", "extended"]


def test_every_number_has_a_unique_name(section):
    found = numbers([section])
    assert len(found) == n_numbers(section)
    assert found["images/magnitudes/composite_3_arcsec_i/n"] == N - 1
    assert found["images/magnitudes/composite_3_arcsec_i/median_mag_error"] > 0
    assert "48 galaxies" in section.text and "1 galaxies" in section.text and not section.left_out


def test_section_without_images_is_left_out_and_mismatched_catalogue_is_refused(injected):
    empty = images_section(
        measure(np.zeros((3, *SPEC.image_shape)), np.zeros((3, *SPEC.image_shape)), patches(3, 0)),
        catalogue_of(3),
        SPEC,
        seed=0,
    )
    assert empty.left_out and not empty.tables
    with pytest.raises(InputError, match=r"\b48\b.*\b3\b"):
        images_section(injected, catalogue_of(3), SPEC, seed=0)


def test_figures_show_the_measurements(injected):
    axes = residual_figure(injected, SPEC).axes
    assert [ax.get_title() for ax in axes] == ["$g$", "$r$", "$i$", "$z$", "$y$"]
    for patch in (p for ax in axes for p in ax.patches):
        stairs = patch.get_data()
        assert (stairs.values * np.diff(stairs.edges)).sum() == pytest.approx(1)
    catalogue = replace(catalogue_of(N), mag_NC=np.linspace(18, 21, 5 * N).reshape(N, 5))
    axes = magnitude_figure(injected, catalogue, SPEC).axes
    points = axes[2].lines[0]
    np.testing.assert_array_equal(points.get_xdata(), np.delete(catalogue.mag_NC[:, 2], 30))
    error_N = np.delete(errors.magnitude_errors(injected, COMPOSITE, 3.0)[:, 2], 30)
    np.testing.assert_array_equal(points.get_ydata(), error_N)
    assert axes[2].get_title() == "$i$, n = 47" and axes[5].get_title() == "$g-r$, n = 47"
    axes = shape_figure(injected, SPEC).axes
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), np.delete(injected.radius_NV[:, 1], 30))
    np.testing.assert_array_equal(axes[4].lines[0].get_ydata(), np.delete(injected.g1_NV[:, 2], 30))


def test_figures_without_selected_galaxies_have_a_note(injected):
    visible = replace(injected, hidden_NA=np.zeros_like(injected.hidden_NA))
    for figure in (magnitude_figure(visible, catalogue_of(N), SPEC), shape_figure(visible, SPEC)):
        texts = [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
        assert NO_GALAXY in texts


def test_many_galaxies_are_drawn_as_a_density(injected):
    many = ImageMeasures(*(np.tile(v, (50, *[1] * (v.ndim - 1))) for v in vars(injected).values()))
    many.flux_NVAC[::3, 1:] = -1.0
    catalogue = catalogue_of(len(many))
    axes = magnitude_figure(many, catalogue, SPEC).axes
    cells = axes[2].collections[0].get_array()
    shown = np.abs(errors.magnitude_errors(many, COMPOSITE, 3.0)[:, 2]) <= 0.6
    assert cells.sum() == (shown & errors.usable_flux(many, SPEC, 3.0)[:, 2]).sum()
    outside = (~shown & errors.usable_flux(many, SPEC, 3.0)[:, 2]).sum()
    assert any(f"{outside:,}" in t.get_text() for t in axes[2].texts)
