"""Pixel statistics: the same as numpy's over all pixels at once."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.realism import pixels, published
from mmae.realism.pixels import join, moments, pixel_section, pixel_sums
from mmae.realism.rows import pieces, read_images
from tests.realism.surveys import make_survey

NOISE = np.array([0.02, 0.1])


def test_moments_are_numpys_whatever_the_batches(rng, monkeypatch):
    monkeypatch.setattr(pixels, "IMAGES_AT_A_TIME", 7)
    images = (rng.lognormal(size=(50, 2, 8, 8)) * 1e3).astype(np.float32)
    found = moments(join([pixel_sums(images[:20], NOISE), pixel_sums(images[20:], NOISE)]), seed=0)
    exact = images.astype(np.float64)
    stretched = np.arcsinh(exact / NOISE[:, None, None])
    for v, values in enumerate((exact, stretched)):
        assert found.mean_VC[v] == pytest.approx(values.mean(axis=(0, 2, 3)), rel=1e-12)
        assert found.sd_VC[v] == pytest.approx(values.std(axis=(0, 2, 3)), rel=1e-9)
    assert found.n_images == 50


def test_errors_count_images_and_not_pixels(rng):
    # All pixels of an image alike: 400 independent values, whatever the number of pixels.
    images = np.broadcast_to(rng.normal(size=(400, 1, 1, 1)), (400, 1, 16, 16))
    found = moments(pixel_sums(images, np.ones(1)), seed=0, resamples=400)
    assert found.mean_error_VC[0, 0] == pytest.approx(1 / np.sqrt(400), rel=0.15)


def test_section_judges_every_published_number(survey):
    section = pixel_section(survey, seed=0)
    rows = section.tables[0].rows
    assert len(rows) == 20
    images = np.concatenate([read_images(piece, survey)[1] for piece in pieces(survey)]).astype(np.float64)
    assert len(images) == 300
    by_name = {row[:2]: row for row in rows}
    row = by_name["sd of arcsinh(counts / noise)", "z"]
    assert row[2] == pytest.approx(np.arcsinh(images[:, 3] / published.BAND_NOISE["z"]).std(), rel=1e-6)
    assert row[4] == published.ARCSINH_SD["z"]
    assert row[5] == pytest.approx(row[2] / row[4])
    assert all(r[6].ok is (abs(r[5] - 1) <= 0.25) for r in rows)


def test_large_images_are_cut_to_the_published_size(tmp_path):
    large = make_survey(tmp_path / "large", 20, size=96, truth=False, spectra=False)
    images = np.concatenate([read_images(piece, large)[1] for piece in pieces(large)])
    assert images.shape[2:] == (96, 96)
    row = pixel_section(large, seed=0).tables[0].rows[0]
    assert row[2] == pytest.approx(images[:, 0, 16:80, 16:80].mean(dtype=np.float64), rel=1e-6)
