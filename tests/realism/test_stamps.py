"""Measurements of synthetic stamps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from mmae.realism.stamp_sets import central_values, group_medians, measure_stamps
from mmae.realism.stamps import aperture_magnitudes, difference_noise, measure_stamp, sky_statistics
from mmae.survey.schema import SurveySpec
from tests.realism.surveys import gaussian_image

SPEC = SurveySpec()
NOISE = np.array(SPEC.band_noise)[:, None, None]


def blob(x: float, y: float, peak: float, sigma: float = 2.0, size: int = 64) -> np.ndarray:
    y_HW, x_HW = np.mgrid[:size, :size]
    return peak * np.exp(-((x_HW - x) ** 2 + (y_HW - y) ** 2) / (2 * sigma**2))


def test_sigma_and_correlation_of_white_noise(rng):
    sky = np.ones((64, 64), bool)
    found = [sky_statistics(rng.normal(size=SPEC.image_shape) * NOISE, sky) for _ in range(30)]
    noise_C, correlation_C = (np.mean(part, axis=0) for part in zip(*found, strict=True))
    assert noise_C == pytest.approx(NOISE.ravel(), rel=0.01)
    assert np.abs(correlation_C).max() < 0.01


def test_correlation_of_smoothed_noise(rng):
    kernel = np.array([0.1, 0.8, 0.1])
    expected = 2 * 0.1 * 0.8 / (0.8**2 + 2 * 0.1**2)  # of adjacent pixels along an axis
    found = []
    for _ in range(30):
        noise = rng.normal(size=(1, 64, 64))
        for axis in (1, 2):
            noise = correlate1d(noise, kernel, axis=axis, mode="wrap")
        found.append(sky_statistics(noise, np.ones((64, 64), bool))[1][0])
    assert np.mean(found) == pytest.approx(expected, abs=0.02)


def test_difference_noise_ignores_a_gradient(rng):
    ramp = np.linspace(0, 50, 64)[None, None, :]
    image = ramp + rng.normal(size=(3, 64, 64)) * np.array([0.5, 1.0, 2.0])[:, None, None]
    assert difference_noise(image) == pytest.approx([0.5, 1.0, 2.0], rel=0.05)


def test_non_central_objects_are_detected(rng):
    objects = blob(31.5, 31.5, 5.0) + blob(10, 12, 1.0) + blob(50, 15, 1.0) + blob(12, 52, 1.0)
    image = objects + rng.normal(size=SPEC.image_shape) * NOISE
    found = measure_stamp(image, SPEC)
    assert found.central is not None
    positions = sorted((round(x), round(y)) for y, x in found.others_yx)
    assert positions == [(10, 12), (12, 52), (50, 15)]
    assert not found.searched_HW[31, 31] and found.searched_HW[12, 10]


def test_no_detections_in_pure_noise(rng):
    empty = (rng.normal(size=SPEC.image_shape) * NOISE for _ in range(60))
    assert sum(len(measure_stamp(image, SPEC).others_yx) for image in empty) == 0


def test_object_below_the_detection_limit(rng):
    faint = blob(31.5, 31.5, 5.0) + blob(10, 12, 0.02)  # peak below the pixel noise
    found = measure_stamp(faint + rng.normal(size=SPEC.image_shape) * NOISE, SPEC)
    assert found.others_yx == ()


def test_noise_is_measured_outside_objects(rng):
    image = blob(31.5, 31.5, 30.0, 4.0) + rng.normal(size=SPEC.image_shape) * NOISE
    assert measure_stamp(image, SPEC).noise_C == pytest.approx(NOISE.ravel(), rel=0.06)


def test_magnitude_radius_and_concentration_of_a_central_gaussian():
    mag_C = np.array([20.0, 19.5, 19.0, 18.8, 18.7])
    central = measure_stamp(gaussian_image(SPEC, mag_C, 64, sigma=4.0), SPEC).central
    radius = 1.5 / SPEC.pixel_scale
    inside = 1 - np.exp(-(radius**2) / (2 * 4.0**2))
    assert central.aperture_mag_C == pytest.approx(mag_C - 2.5 * np.log10(inside), abs=0.03)
    assert central.half_light_radius == pytest.approx(1.1774 * 4.0 * SPEC.pixel_scale, rel=0.03)
    gaussian = 5 * np.log10(np.sqrt(np.log(1 / 0.2) / np.log(1 / 0.8)))
    assert central.concentration == pytest.approx(gaussian, abs=0.15)


def test_neighbour_does_not_change_the_central_object():
    target = gaussian_image(SPEC, np.full(5, 19.0), 64)
    alone = measure_stamp(target, SPEC).central
    neighbour = blob(51, 40, 30.0, 1.5)  # 3.6 arcsec away, a quarter as bright
    with_neighbour = measure_stamp(target + neighbour, SPEC).central
    assert with_neighbour.aperture_mag_C == pytest.approx(alone.aperture_mag_C, abs=0.02)
    assert with_neighbour.half_light_radius == pytest.approx(alone.half_light_radius, rel=0.03)


def test_aperture_magnitudes():
    mag_C = np.array([20.0, 19.0, 18.0, 17.0, 16.0])
    found = aperture_magnitudes(gaussian_image(SPEC, mag_C, 64, sigma=1.5), 3.0, SPEC)
    assert found == pytest.approx(mag_C, abs=1e-3)


def test_group_medians():
    values = np.array([[1.0], [1.0], [1.0], [5.0], [np.nan]])
    assert group_medians(values, np.array([0, 0, 0, 1, 2])).ravel().tolist() == [1.0, 5.0]


def test_field_objects_are_counted_in_the_field_region(rng):
    objects = blob(31.5, 31.5, 5.0) + blob(10, 12, 1.0) + blob(50, 15, 1.0)
    image = objects + rng.normal(size=SPEC.image_shape) * NOISE
    field = np.zeros((1, 64, 64), bool)
    field[:, :, :32] = True
    found = measure_stamps(image[None], SPEC, field_SHW=field)
    assert found.n_others_S.tolist() == [2] and found.n_field_S.tolist() == [1]
    assert 0 < found.field_area_S[0] < 0.5 * (64 * SPEC.pixel_scale / 60) ** 2
    colour = central_values(found, "g-r [mag]", SPEC)
    assert colour == pytest.approx([0.0], abs=0.05)
