"""Rendering, fibre fractions, noise and catalogue magnitudes of the camera."""

import numpy as np
import pytest

from mmae.simulation import camera
from mmae.simulation.structure import POINT_SOURCE, Profile
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec()
SCALE = SPEC.pixel_scale


def render(profile: Profile, centre: tuple[float, float], size: int, fwhm: float = 0.7) -> np.ndarray:
    """(H,W) of unit flux."""
    return camera.render([camera.PlacedProfile(profile, np.ones(1), centre)], np.array([fwhm]), size, SCALE)[0]


@pytest.mark.parametrize("profile", [POINT_SOURCE, Profile(1.0, 0.5, 0.7, 0.6), Profile(4.0, 0.3, 0.7, 0.6)])
def test_compact_profiles_have_correct_flux_and_centroid(profile):
    counts_C = np.array([1.0, 2.0, 3.0, 4.0, 5.0]) * 3000
    fwhm_C = np.array([0.8, 0.75, 0.6, 0.7, 0.7])
    image_CHW = camera.render([camera.PlacedProfile(profile, counts_C, (31.7, 31.2))], fwhm_C, 64, SCALE)
    difference_C = -2.5 * np.log10(image_CHW.sum(axis=(1, 2)) / counts_C)
    np.testing.assert_allclose(difference_C, 0, atol=0.03)
    y, x = np.indices((64, 64))
    core_HW = np.where(np.hypot(x - 31.7, y - 31.2) < 20, image_CHW[0], 0)
    assert (core_HW * x).sum() / core_HW.sum() == pytest.approx(31.7, abs=0.05)
    assert (core_HW * y).sum() / core_HW.sum() == pytest.approx(31.2, abs=0.05)


def test_half_of_the_flux_is_inside_the_half_light_radius():
    for index in (1.0, 2.5, 4.0, 6.0):
        image_HW = render(Profile(index, 4.0, 1.0, 0.0), (255.0, 255.0), 511, fwhm=0.4)
        y, x = np.indices(image_HW.shape)
        inside = np.hypot(x - 255, y - 255) * SCALE < 4.0
        assert image_HW[inside].sum() == pytest.approx(0.5, abs=0.02)


def test_axis_ratio_and_position_angle_of_a_rendered_disk():
    image_HW = render(Profile(1.0, 1.5, 0.4, np.pi / 2), (100.0, 100.0), 201, fwhm=0.3)  # along y
    y, x = np.indices(image_HW.shape)
    rms_x = np.sqrt((image_HW * (x - 100) ** 2).sum() / image_HW.sum())
    rms_y = np.sqrt((image_HW * (y - 100) ** 2).sum() / image_HW.sum())
    assert rms_x / rms_y == pytest.approx(0.4, abs=0.05)
    # Exponential disk: rms along an axis sqrt(3) scale lengths, half-light radius 1.678 scale lengths.
    assert rms_y * SCALE == pytest.approx(np.hypot(np.sqrt(3) * 1.5 / 1.678, 0.15), rel=0.05)


def test_point_source_has_the_fwhm_of_the_seeing():
    image_HW = render(POINT_SOURCE, (31.0, 31.0), 63, fwhm=0.9)
    row = image_HW[31] / image_HW[31, 31]
    half = np.interp(0.5, row[31:][::-1], np.arange(32)[::-1])
    # The pixel response broadens the profile slightly.
    assert 2 * half * SCALE == pytest.approx(0.9, rel=0.06)


def test_profiles_add_and_are_at_their_positions():
    one = camera.PlacedProfile(POINT_SOURCE, np.array([10.0]), (20.0, 40.0))
    two = camera.PlacedProfile(Profile(1.0, 0.4, 1.0, 0.0), np.array([30.0]), (45.0, 15.0))
    fwhm_C = np.array([0.6])
    both = camera.render([one, two], fwhm_C, 64, SCALE)[0]
    alone = [camera.render([s], fwhm_C, 64, SCALE)[0] for s in (one, two)]
    assert both == pytest.approx(alone[0] + alone[1], abs=2e-3 * both.max())
    assert np.unravel_index(alone[0].argmax(), (64, 64)) == (40, 20)
    assert np.unravel_index(alone[1].argmax(), (64, 64)) == (15, 45)


@pytest.mark.parametrize("profile", [Profile(1.0, 0.8, 1.0, 0.0), Profile(4.0, 1.5, 1.0, 0.0)])
def test_fibre_fraction_agrees_with_an_oversampled_image(profile):
    def inside(p: Profile) -> float:
        profile, size, scale = camera.PlacedProfile(p, np.ones(1), (200.0, 200.0)), 401, 0.05
        image_HW = camera.render([profile], np.array([camera.FIBRE_SEEING]), size, scale)[0]
        y, x = np.indices(image_HW.shape)
        return image_HW[np.hypot(x - 200, y - 200) * scale < camera.FIBRE_DIAMETER / 2].sum()

    assert camera.fibre_fraction(profile) == pytest.approx(inside(profile) / inside(POINT_SOURCE), rel=0.02)


def test_fibre_fraction_decreases_with_radius_and_is_one_for_a_point_source():
    fraction = [camera.fibre_fraction(Profile(4.0, r, 1.0, 0.0)) for r in (0.1, 0.5, 2.0, 8.0)]
    assert camera.fibre_fraction(POINT_SOURCE) == 1
    assert 1 > fraction[0] > fraction[1] > fraction[2] > fraction[3] > 0.02
    # Moffat profile of beta 3 in a circular aperture: 1 - (1 + (R/a)^2)^-2.
    scale = 1.1 / 2 / np.sqrt(2 ** (1 / 3) - 1)
    share = camera._fibre_window()[1].sum()
    assert share == pytest.approx(1 - (1 + (0.75 / scale) ** 2) ** -2, abs=1e-3)


def test_sky_noise_has_the_sigma_and_pixel_correlation_of_the_survey():
    rng = np.random.default_rng(0)
    noise = np.stack([camera.add_noise(rng, np.zeros(SPEC.image_shape), SPEC) for _ in range(30)])
    assert noise.dtype == np.float32
    for c, sigma in enumerate(SPEC.band_noise):
        assert noise[:, c].std() == pytest.approx(sigma, rel=0.01)
        adjacent = (noise[:, c, :, 1:] * noise[:, c, :, :-1]).mean() / sigma**2
        distant = (noise[:, c, 3:] * noise[:, c, :-3]).mean() / sigma**2
        assert 0.04 < adjacent < 0.08 and abs(distant) < 0.02


def test_photon_noise_of_bright_pixels():
    rng = np.random.default_rng(0)
    image_CHW = np.full(SPEC.image_shape, 500.0)
    noise = camera.add_noise(rng, image_CHW, SPEC) - image_CHW
    expected_C = np.sqrt(np.square(SPEC.band_noise) + 500.0 / camera.effective_gain(SPEC))
    assert noise.std(axis=(1, 2)) == pytest.approx(expected_C, rel=0.05)


def measured(mag: float, radius: float, n: int = 600) -> np.ndarray:
    """Catalogue minus true magnitudes (N,C)."""
    rng = np.random.default_rng(0)
    mag_C, fwhm_C = np.full(5, mag), np.full(5, 0.7)
    return np.stack([camera.measure_magnitude(rng, mag_C, radius, fwhm_C, SPEC) for _ in range(n)]) - mag


def test_magnitude_scatter_of_bright_objects_is_that_of_injected_galaxies_and_stars():
    galaxy, star = measured(18.0, 0.5), measured(18.0, 0.0)
    assert galaxy.std(axis=0) == pytest.approx(np.full(5, 0.15), rel=0.1)
    assert star.std(axis=0) == pytest.approx(np.full(5, 0.01), rel=0.15)
    colour = np.diff(galaxy, axis=1)  # most of the scatter is common to all bands
    assert colour.std(axis=0) == pytest.approx(np.full(4, 0.04 * np.sqrt(2)), rel=0.1)
    assert np.abs(np.median(galaxy, axis=0)).max() < 0.02


def test_magnitude_noise_of_faint_objects_is_that_of_the_sky():
    faint = measured(24.5, 0.0)
    sigma_C = np.sqrt(4 * np.pi) * (0.7 / 2.355 / SCALE) * np.array(SPEC.band_noise)
    counts = 10 ** (0.4 * (27.0 - 24.5))
    sigma_C = np.sqrt(sigma_C**2 + counts / camera.effective_gain(SPEC) + (0.01 * counts / 1.0857) ** 2)
    assert np.nanstd(faint, axis=0) == pytest.approx(1.0857 * sigma_C / counts, rel=0.1)
    assert np.isnan(measured(40.0, 0.5, 20)).any()
