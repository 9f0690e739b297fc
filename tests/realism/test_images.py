"""The section on images: noise, verdicts, missing real data."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.realism.images import image_section
from mmae.realism.reference import HSC_FILE, read_hsc
from mmae.realism.rows import sample_images
from mmae.realism.stamp_sets import weight_noise
from tests.ingest.files import SHARED_GALAXIES, needs_shared
from tests.realism.surveys import table_rows


def test_noise_of_survey_and_cutouts(survey, reference):
    _, images = sample_images(survey, 80, 0, 64)
    section = image_section(images, survey.spec, reference, seed=0)
    assert len(images) == 80 and section.left_out == ""
    for row in table_rows(section, "noise"):
        assert row["simulated"].value == pytest.approx(row["published"], rel=0.03), row["band"]
        assert row["ratio"] == pytest.approx(1, rel=0.03) and row["verdict"].ok
        assert row["real"] == pytest.approx(row["published"], rel=0.05)
        assert row["real_weights"] == pytest.approx(row["published"], rel=1e-3)
    correlation = table_rows(section, "correlation")
    assert len(correlation) == 5 and all(row["verdict"].ok for row in correlation)
    assert all(row["simulated"].error > 0 and row["real"].error > 0 for row in correlation)
    density = table_rows(section, "neighbours")[-1]
    assert density["simulated"].value >= 0 and density["real"].value >= 0


def test_wrong_noise_fails(survey):
    _, images = sample_images(survey, 40, 0, 64)
    section = image_section(1.3 * images, survey.spec, None, seed=0)
    assert all(row["verdict"].ok is False for row in table_rows(section, "noise"))


def test_without_real_data_noise_is_compared_with_published_values(survey):
    _, images = sample_images(survey, 40, 0, 64)
    section = image_section(images, survey.spec, None, seed=0)
    assert "--reference" in section.left_out
    assert all(row["verdict"].ok and row["real"] is None for row in table_rows(section, "noise"))
    assert all(row["verdict"].ok is None for row in table_rows(section, "correlation"))


def test_survey_without_images(survey):
    section = image_section(np.empty((0, 5, 64, 64)), survey.spec, None, seed=0)
    assert section.left_out and not section.tables


@needs_shared
def test_noise_outside_the_footprint_of_real_cutouts_agrees_with_the_weights():
    real = read_hsc(SHARED_GALAXIES)
    assert (SHARED_GALAXIES / HSC_FILE).is_file() and len(real.image_NCHW) == 44
    outside = (real.weight_NCHW[:, :, :, 1:] <= 0) & (real.weight_NCHW[:, :, :, :-1] <= 0)
    difference = np.diff(real.image_NCHW, axis=3)
    from_weights = weight_noise(real)
    found = np.array(
        [
            [1.4826 * np.median(np.abs(difference[n, c][outside[n, c]])) / np.sqrt(2) for c in range(5)]
            for n in range(44)
        ]
    )
    assert np.median(found / from_weights, axis=0) == pytest.approx(np.ones(5), abs=0.08)
