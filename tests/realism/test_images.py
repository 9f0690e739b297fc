"""The section on images: verdicts, and what becomes of it without real data."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.realism.images import image_section
from mmae.realism.reference import HSC_FILE, read_hsc
from mmae.realism.rows import sample_images
from mmae.realism.stamp_sets import weight_noise
from tests.ingest.files import SHARED_GALAXIES, needs_shared


def rows(section, name: str) -> list[tuple]:
    return list(next(t for t in section.tables if t.name == name).rows)


def test_noise_of_the_survey_and_of_the_cutouts(survey, reference):
    _, images = sample_images(survey, 80, 0, 64)
    section = image_section(images, survey.spec, reference, seed=0)
    assert len(images) == 80 and section.left_out == ""
    for band, simulated, _, published, ratio, verdict, real, stated in rows(section, "noise"):
        assert simulated == pytest.approx(published, rel=0.03), band
        assert ratio == pytest.approx(1, rel=0.03) and verdict.ok
        assert real == pytest.approx(published, rel=0.05)
        assert stated == pytest.approx(published, rel=1e-3)
    assert all(row[-1].ok for row in rows(section, "correlation"))


def test_noise_that_is_wrong_is_a_miss(survey):
    _, images = sample_images(survey, 40, 0, 64)
    section = image_section(1.3 * images, survey.spec, None, seed=0)
    assert all(row[5].ok is False for row in rows(section, "noise"))


def test_without_real_data_the_published_comparison_stays(survey):
    _, images = sample_images(survey, 40, 0, 64)
    section = image_section(images, survey.spec, None, seed=0)
    assert "--reference" in section.left_out
    assert all(row[5].ok and row[6] is None for row in rows(section, "noise"))
    assert all(row[-1].ok is None for row in rows(section, "correlation"))


def test_a_survey_without_images_is_left_out(survey):
    assert "no images" in image_section(np.empty((0, 5, 64, 64)), survey.spec, None, seed=0).left_out


@needs_shared
def test_sky_outside_a_real_footprint_has_the_noise_that_the_weights_state():
    # That is why those pixels are used as sky.
    real = read_hsc(SHARED_GALAXIES)
    assert (SHARED_GALAXIES / HSC_FILE).is_file() and len(real.image_NCHW) == 44
    outside = (real.weight_NCHW[:, :, :, 1:] <= 0) & (real.weight_NCHW[:, :, :, :-1] <= 0)
    difference = np.diff(real.image_NCHW, axis=3)
    stated = weight_noise(real)
    found = np.array(
        [
            [1.4826 * np.median(np.abs(difference[n, c][outside[n, c]])) / np.sqrt(2) for c in range(5)]
            for n in range(44)
        ]
    )
    assert np.median(found / stated, axis=0) == pytest.approx(np.ones(5), abs=0.08)
