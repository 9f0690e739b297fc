"""Image measures of batches: order of the galaxies, versions, absent images."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.images.compare import (
    COMPOSITE,
    OBSERVED,
    RECONSTRUCTION,
    VERSIONS,
    join_image_measures,
    measure_images,
)
from mmae.survey.schema import SurveySpec
from tests.evaluation.images.cutouts import NOISE_C11, SPEC, measure, patches, round_galaxies

OBSERVED_V, COMPOSITE_V, RECONSTRUCTION_V = (VERSIONS.index(v) for v in (OBSERVED, COMPOSITE, RECONSTRUCTION))


def test_perfect_reconstruction_has_zero_errors():
    observed, visible = round_galaxies(5, 0), patches(5, 0)
    found = measure(observed, observed, visible)
    for values in (found.flux_NVAC, found.radius_NV, found.size_NV, found.g1_NV, found.g2_NV):
        np.testing.assert_array_equal(values[:, OBSERVED_V], values[:, COMPOSITE_V])
        np.testing.assert_array_equal(values[:, OBSERVED_V], values[:, RECONSTRUCTION_V])
    assert not found.rms_NGC.any() and not found.nmad_NGC.any() and not found.chi2_NGC.any()
    signal = observed / NOISE_C11
    np.testing.assert_allclose(found.peak_NC, signal.max((2, 3)))
    expected = [np.sqrt((signal[n][:, ~visible[n]] ** 2).mean(axis=1)) for n in range(5)]
    np.testing.assert_allclose(found.empty_rms_NGC[:, 0], expected, rtol=2e-5)  # in single precision


def test_decoder_output_for_visible_pixels_changes_only_the_reconstruction():
    observed, visible = round_galaxies(5, 1), patches(5, 1)
    reconstructed = 0.8 * observed
    changed = np.where(visible[:, None], -7.0, reconstructed)
    first, second = measure(observed, reconstructed, visible), measure(observed, changed, visible)
    for f in fields(first):
        one, two = getattr(first, f.name), getattr(second, f.name)
        if "V" in f.name.rpartition("_")[2]:
            np.testing.assert_array_equal(one[:, :2], two[:, :2])
        else:
            np.testing.assert_array_equal(one, two)
    changed_N = (first.flux_NVAC[:, RECONSTRUCTION_V, 1] != second.flux_NVAC[:, RECONSTRUCTION_V, 1]).all(axis=1)
    np.testing.assert_array_equal(changed_N, first.hidden_NA[:, 1] < 1)


def test_composite_contains_the_flux_errors_of_the_hidden_pixels():
    observed, visible = round_galaxies(4, 2), patches(4, 2)
    visible[0], visible[1] = True, False
    found = measure(observed, 0.9 * observed, visible)
    np.testing.assert_allclose(found.hidden_NA[:2], [[0, 0], [1, 1]])
    assert found.hidden_NA.max() <= 1 and not found.hidden_NA[0].any()
    np.testing.assert_allclose(found.flux_NVAC[0, COMPOSITE_V], found.flux_NVAC[0, OBSERVED_V])
    np.testing.assert_allclose(found.flux_NVAC[1, COMPOSITE_V], 0.9 * found.flux_NVAC[1, OBSERVED_V])
    np.testing.assert_allclose(found.flux_NVAC[:, RECONSTRUCTION_V], 0.9 * found.flux_NVAC[:, OBSERVED_V])
    # Expected: flux of hidden pixels with centres within 3 arcsec.
    y, x = np.mgrid[:64, :64] - 31.5
    inside = np.hypot(x, y) * 0.168 <= 3
    lost = 0.1 * (observed[3] * (inside & ~visible[3])).sum((1, 2))
    np.testing.assert_allclose(found.flux_NVAC[3, OBSERVED_V, 1] - found.flux_NVAC[3, COMPOSITE_V, 1], lost, rtol=0.05)
    # Scaling an image does not change size and shape.
    np.testing.assert_allclose(found.radius_NV[:, RECONSTRUCTION_V], found.radius_NV[:, OBSERVED_V], rtol=1e-6)
    np.testing.assert_allclose(found.g1_NV[:, RECONSTRUCTION_V], found.g1_NV[:, OBSERVED_V], atol=1e-3)


def test_results_do_not_depend_on_the_batch_size():
    observed, visible = round_galaxies(9, 3), patches(9, 3)
    whole, parts = (measure(observed, 0.7 * observed, visible, batch) for batch in (9, 2))
    assert len(parts) == 9
    for f in fields(whole):
        one, two = getattr(whole, f.name), getattr(parts, f.name)
        np.testing.assert_allclose(one, two, rtol=1e-12)
        assert one.dtype == two.dtype


def test_absent_images_keep_their_row():
    observed, visible = round_galaxies(4, 4), patches(4, 4)
    present = measure_images(observed, 0.5 * observed, visible, SPEC)
    observed[1], observed[2] = 0.0, np.nan
    found = measure_images(observed, 0.5 * np.nan_to_num(observed), visible, SPEC)
    assert found.present_N.tolist() == [True, False, False, True]
    for f in fields(found):
        values, kept = getattr(found, f.name), getattr(present, f.name)
        np.testing.assert_array_equal(values[[0, 3]], kept[[0, 3]])
        if values.dtype.kind == "f":
            assert np.isnan(values[1:3]).all()
        else:
            assert not values[1:3].any()
    none = measure_images(np.zeros_like(observed), observed, visible, SPEC)
    assert not none.present_N.any() and len(join_image_measures([none, found])) == 8


def test_nan_reconstruction_has_nan_measures():
    observed, visible = round_galaxies(2, 5), patches(2, 5)
    reconstructed = observed.copy()
    reconstructed[0] = np.nan
    found = measure_images(observed, reconstructed, visible, SPEC)
    assert np.isnan(found.flux_NVAC[0, 1:]).all() and np.isnan(found.rms_NGC[0]).all()
    assert np.isnan(found.size_NV[0, 1:]).all() and np.isfinite(found.size_NV[0, 0])
    assert np.isfinite(found.flux_NVAC[1]).all()


def test_invalid_input_is_refused():
    observed, visible = round_galaxies(2, 6), patches(2, 6)
    with pytest.raises(InputError, match=r"reconstructed .*\(1, 5, 64, 64\).*\(2,"):
        measure_images(observed, observed[:1], visible, SPEC)
    with pytest.raises(InputError, match="visible"):
        measure_images(observed, observed, visible[:, :8], SPEC)
    with pytest.raises(InputError, match="observed"):
        measure_images(observed, observed, visible, SurveySpec(image_size=32))
    observed[1, 0, 0, :3] = np.inf
    with pytest.raises(InputError, match=r"row 1 .*\b3\b"):
        measure_images(observed, observed, visible, SPEC)
    with pytest.raises(InputError, match="images"):
        join_image_measures([])


def test_missing_pixels_are_left_out():
    complete, visible = round_galaxies(4, 6), patches(4, 6)
    reconstructed = 0.9 * complete
    observed = complete.copy()
    observed[0, 1, :, :8] = np.nan  # a stripe at the edge, in r
    observed[1, 2, 30:34, 20:40] = np.nan  # across the galaxy, in the shape band
    observed[2, 4] = np.nan  # a whole band
    whole, found = (measure(images, reconstructed, visible) for images in (complete, observed))
    for name in ("rms_NGC", "nmad_NGC", "median_NGC", "chi2_NGC"):
        same = np.isclose(getattr(found, name), getattr(whole, name), rtol=1e-5, atol=0)
        changed = {(int(n), int(c)) for n, c in zip(*np.nonzero(~same[:, 0]), strict=True)}
        assert changed == {(0, 1), (1, 2), (2, 4)}, name
    residual = ((reconstructed - observed) / NOISE_C11)[0, 1][~visible[0]]
    assert found.rms_NGC[0, 0, 1] == pytest.approx(np.sqrt(np.nanmean(residual**2)), rel=1e-5)
    assert found.count_NGCK[0, 0, 1].sum() == np.isfinite(residual).sum()
    assert np.isnan(found.rms_NGC[2, :, 4]).all() and not found.count_NGCK[2, :, 4].any()
    assert np.isnan(found.peak_NC[2, 4]) and np.isfinite(found.peak_NC).sum() == 19
    # Photometry and sizes are measured where the aperture is complete.
    flux, expected = found.flux_NVAC[:, OBSERVED_V].copy(), whole.flux_NVAC[:, OBSERVED_V].copy()
    assert np.isnan(flux[1, :, 2]).all() and np.isnan(flux[2, :, 4]).all() and np.isnan(flux).sum() == 4
    np.testing.assert_array_equal(flux[np.isfinite(flux)], expected[np.isfinite(flux)])
    assert np.isnan(found.radius_NV[:, OBSERVED_V]).tolist() == [False, True, False, False]
    # A missing pixel is filled with the reconstruction.
    np.testing.assert_allclose(found.flux_NVAC[2, COMPOSITE_V, :, 4], found.flux_NVAC[2, RECONSTRUCTION_V, :, 4])
