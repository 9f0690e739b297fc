"""Measures and scores of filled images with known errors."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import galsim
import numpy as np
import pytest
import torch

from mmae.evaluation.hidden.image_measures import Masked
from mmae.evaluation.hidden.image_scores import HiddenSample, angle_difference, colour_bands, sample_of, score_hidden
from mmae.evaluation.hidden.parts import IMAGE_ONLY, INPUTS, RATIOS, WITH_SPECTRUM, masks_of
from mmae.evaluation.hidden.seams import seam_jumps
from mmae.evaluation.hidden.targets import IMAGE_TARGETS
from mmae.model.batch import Batch
from mmae.report.contents import slug
from tests.evaluation.images.cutouts import NOISE_C11, PATCH, SPEC, bands, draw, patches

N = 24
SCORE = partial(score_hidden, spec=SPEC, seed=0, resamples=20)
ALL = np.ones(N, bool)


def inclined(angle_N: np.ndarray) -> np.ndarray:
    """Elongated galaxies of 1.2 arcsec at these position angles (degrees)."""
    profile = galsim.Exponential(flux=4000, half_light_radius=1.2)
    return np.array([bands(draw(profile.shear(q=0.4, beta=angle * galsim.degrees))) for angle in angle_N])


@pytest.fixture(scope="module")
def angles() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 180, N)


@pytest.fixture(scope="module")
def observed(angles) -> np.ndarray:
    clean = inclined(angles)
    return clean + NOISE_C11 * np.random.default_rng(1).standard_normal(clean.shape)


VISIBLE = patches(N, 2)


def masked(observed: np.ndarray, visible: np.ndarray = VISIBLE) -> Masked:
    return Masked(observed, visible, PATCH, SPEC)


def sample(observed: np.ndarray, point: bool = False) -> HiddenSample:
    return sample_of(masked(observed), None, np.full(observed.shape, 0.05), np.full(N, point))


def measure(image: np.ndarray, observed: np.ndarray):
    return masked(observed).measure(image, ALL)


def test_the_observed_image_scores_perfectly(observed):
    found = SCORE(measure(observed, observed), sample(observed))
    assert found.mse.value == 0 and found.excess.value == pytest.approx(-0.05)
    assert found.seam.value == found.radius.value == found.flux.value == 1
    assert found.angle.value == found.colour.value == found.ellipticity.value == 0
    assert found.angle.n == N and found.centre.n == 0  # none is a point source


def test_injected_flux_and_colour_errors_are_recovered(observed):
    blue, red = colour_bands(SPEC)
    image = observed.copy()
    image[:, blue] *= 0.8
    image[:, red] *= 0.9
    found = SCORE(measure(image, observed), sample(observed))
    assert found.flux.value == pytest.approx(0.9) and found.flux_error.value == pytest.approx(0.1)
    assert found.colour.value == pytest.approx(-2.5 * np.log10(0.8 / 0.9))
    points = sample(observed, point=True)
    assert SCORE(measure(image, observed), points).centre.value == pytest.approx(0.9)


def test_visible_pixels_of_the_decoder_do_not_count(observed):
    changed = np.where(VISIBLE[:, None], -1.0, observed)
    one, other = measure(changed, observed), measure(observed, observed)
    for f in fields(one):
        np.testing.assert_allclose(getattr(one, f.name), getattr(other, f.name), rtol=1e-6)


def test_a_turned_galaxy_has_this_angle(angles):
    nothing_visible = np.zeros((N, 64, 64), bool)
    one, other = (masked(inclined(angles), nothing_visible).measure(inclined(angles + turn), ALL) for turn in (25, 0))
    np.testing.assert_allclose(angle_difference(one, other), 25, atol=0.5)


def test_angles_are_those_of_axes():
    class Axis:
        def __init__(self, degrees):
            self.g1_N, self.g2_N = np.cos(2 * np.radians(degrees)), np.sin(2 * np.radians(degrees))

    first, second = np.array([10.0, 175.0, 0.0, np.nan]), np.array([170.0, 5.0, 90.0, 40.0])
    np.testing.assert_allclose(angle_difference(Axis(first), Axis(second)), [20, 10, 90, 90])
    assert np.isnan(angle_difference(Axis(second), Axis(first))[3])


def test_seams_are_jumps_between_hidden_patches():
    smooth = np.broadcast_to(np.arange(64.0), (2, 1, 64, 64)).copy()
    hidden = np.ones((2, 1, 64, 64), bool)
    across, beside = seam_jumps(smooth, hidden, PATCH)
    np.testing.assert_allclose(across, beside)
    stepped = smooth + 3 * (np.arange(64) // PATCH)
    across, beside = seam_jumps(stepped, hidden, PATCH)
    # Half of the borders are between rows, where nothing changes.
    np.testing.assert_allclose([across, beside], [[2, 2], [0.5, 0.5]])
    hidden[1, :, :, :32] = False
    stepped[1, :, :, :32] = 1e6  # visible patches do not count
    across, _ = seam_jumps(stepped, hidden, PATCH)
    assert across[1] < 3
    assert np.isnan(seam_jumps(stepped, np.zeros_like(hidden), PATCH)[0]).all()


def test_absent_images_are_left_out(observed):
    some = observed.copy()
    some[3] = np.nan
    found = SCORE(measure(some, some), sample(some))
    assert found.mse.n == N - 1 and found.mse.value == 0


def test_missing_pixels_do_not_count(observed):
    some = observed.copy()
    some[:, 1] = np.nan  # a band
    some[:, :, 40:, :20] = np.nan
    image = np.where(np.isfinite(some), observed, 1e6)
    found = measure(image, some)
    np.testing.assert_array_equal(found.mse_N, 0)
    np.testing.assert_array_equal(found.flux_NC, measure(some, some).flux_NC)
    assert (found.flux_NC[:, 1] == 0).all()
    score = SCORE(found, sample(some))
    assert score.seam.value == 1 and score.flux.value == 1 and score.mse.n == N


def test_masks_of_all_inputs_hide_the_same_patches():
    present = {name: torch.ones(5, dtype=torch.bool) for name in ("image", "spectrum")}
    batch = Batch({}, present, torch.zeros(5), torch.zeros(5, dtype=torch.bool), torch.ones(5), [""] * 5)
    masks = masks_of(batch, {"image": 64, "spectrum": 40}, seed=3)
    assert len(masks) == len(INPUTS) * len(RATIOS)
    for ratio in RATIOS:
        alone, both = masks[IMAGE_ONLY, ratio], masks[WITH_SPECTRUM, ratio]
        assert (alone["image"].sum(1) == 64 - round(ratio * 64)).all() and not alone["spectrum"].any()
        assert (alone["image"] == both["image"]).all() and (both["spectrum"].sum(1) == 10).all()
    assert not (masks[IMAGE_ONLY, 0.9]["image"] & ~masks[IMAGE_ONLY, 0.5]["image"]).any()  # more hidden, never others


def test_every_target_has_its_own_name_among_the_numbers():
    assert len({slug(label) for label, *_ in IMAGE_TARGETS}) == len(IMAGE_TARGETS)
