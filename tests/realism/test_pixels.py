"""Pixel statistics against numpy over all pixels."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.realism import pixels, published
from mmae.realism.pixels import join, moments, pixel_section, pixel_sums
from mmae.realism.rows import read_images, row_groups
from tests.realism.surveys import make_survey, table_rows

NOISE = np.array([0.02, 0.1])


def test_moments_equal_numpy_for_any_batch_size(rng, monkeypatch):
    monkeypatch.setattr(pixels, "BATCH", 7)
    images = (rng.lognormal(size=(50, 2, 8, 8)) * 1e3).astype(np.float32)
    found = moments(join([pixel_sums(images[:20], NOISE), pixel_sums(images[20:], NOISE)]), seed=0)
    exact = images.astype(np.float64)
    stretched = np.arcsinh(exact / NOISE[:, None, None])
    for v, values in enumerate((exact, stretched)):
        assert found.mean_VC[v] == pytest.approx(values.mean(axis=(0, 2, 3)), rel=1e-12)
        assert found.sd_VC[v] == pytest.approx(values.std(axis=(0, 2, 3)), rel=1e-9)
    assert found.n_images == 50


def test_errors_are_those_of_independent_images(rng):
    # All pixels of an image are equal: 400 independent values.
    images = np.broadcast_to(rng.normal(size=(400, 1, 1, 1)), (400, 1, 16, 16))
    found = moments(pixel_sums(images, np.ones(1)), seed=0, resamples=400)
    assert found.mean_error_VC[0, 0] == pytest.approx(1 / np.sqrt(400), rel=0.15)


def test_section_compares_all_published_values(survey):
    section = pixel_section(survey, seed=0)
    rows = table_rows(section, "moments")
    assert len(rows) == 20
    images = np.concatenate([read_images(group, survey)[1] for group in row_groups(survey)]).astype(np.float64)
    assert len(images) == 300
    row = next(r for r in rows if (r["statistic"], r["band"]) == ("sd of arcsinh(counts / noise)", "z"))
    expected = np.arcsinh(images[:, 3] / published.BAND_NOISE["z"]).std()
    assert row["simulated"].value == pytest.approx(expected, rel=1e-6) and row["simulated"].error > 0
    assert row["published"] == published.ARCSINH_SD["z"]
    assert row["ratio"] == pytest.approx(row["simulated"].value / row["published"])
    assert all(r["verdict"].ok is (abs(r["ratio"] - 1) <= 0.25) for r in rows)


def test_large_images_are_cropped_to_the_published_size(tmp_path):
    large = make_survey(tmp_path / "large", 20, size=96, truth=False, spectra=False)
    images = np.concatenate([read_images(group, large)[1] for group in row_groups(large)])
    assert images.shape[2:] == (96, 96)
    row = table_rows(pixel_section(large, seed=0), "moments")[0]
    assert row["simulated"].value == pytest.approx(images[:, 0, 16:80, 16:80].mean(dtype=np.float64), rel=1e-6)
