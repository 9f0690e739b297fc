"""Colours in redshift bins: offsets, conversions, weighting by magnitude."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.realism.colours import colour_bins, colour_conversions, colour_section
from mmae.realism.reference import RealGalaxies
from tests.realism.surveys import fake_simulator, magnitudes, table_rows


def sample(rng, n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    redshift_N = rng.uniform(0.05, 0.8, n)
    return redshift_N, magnitudes(redshift_N, rng)[:, :4]


def real(redshift_N: np.ndarray, mag_NC: np.ndarray) -> RealGalaxies:
    return RealGalaxies(redshift_N, mag_NC[:, 2], mag_NC)


def test_no_offset_between_equal_populations(rng):
    bins = colour_bins(*sample(rng), real(*sample(rng)))
    assert len(bins) == 6 * 3
    assert all(abs(b.simulated[1] - b.real[1]) < 0.03 and b.distance < 0.15 for b in bins)
    assert all(np.isnan(b.conversion) for b in bins)


def test_colour_offset_is_measured_and_removed_by_a_conversion(rng):
    redshift_N, mag_NC = sample(rng)
    other = real(*sample(rng))
    red = mag_NC + np.array([0.3, 0, 0, 0])  # g-r too red by 0.3
    shifted = {(b.colour, b.low): b.simulated[1] - b.real[1] for b in colour_bins(redshift_N, red, other)}
    for (colour, _), difference in shifted.items():
        assert difference == pytest.approx(0.3 if colour == "g-r" else 0, abs=0.03)
    converted = colour_bins(redshift_N, red, other, {key: -d for key, d in shifted.items()})
    assert all(abs(b.simulated[1] - b.real[1]) < 0.01 for b in converted)


def test_different_depth_does_not_change_colours(rng):
    # Faint galaxies are bluer in both samples; the real sample has many more of them.
    def population(i_N):
        z = np.full(i_N.size, 0.1)
        g_r = 1.0 - 0.2 * (i_N - 18) + rng.normal(0, 0.05, i_N.size)
        return z, np.stack([i_N + 0.4 + g_r, i_N + 0.4, i_N, i_N - 0.2], axis=1)

    simulated, deep = population(rng.uniform(17, 20, 4000)), population(20 - rng.exponential(0.8, 20_000))
    raw = np.median(deep[1][:, 0] - deep[1][:, 1]) - np.median(simulated[1][:, 0] - simulated[1][:, 1])
    found = next(b for b in colour_bins(*simulated, real(*deep)) if b.colour == "g-r")
    assert abs(raw) > 0.15
    assert found.simulated[1] - found.real[1] == pytest.approx(0, abs=0.03)
    assert found.n_real < 19_000


def test_bins_with_few_galaxies_are_omitted(rng):
    redshift_N, mag_NC = sample(rng, 40)
    assert colour_bins(redshift_N, mag_NC, real(*sample(rng))) == []


def test_missing_magnitudes_affect_one_colour_only(rng):
    redshift_N, mag_NC = sample(rng)
    mag_NC[:, 0] = np.nan
    assert {b.colour for b in colour_bins(redshift_N, mag_NC, real(*sample(rng)))} == {"r-i", "i-z"}


def test_conversion_is_the_difference_of_filters_and_apertures(survey, objects):
    # fake_simulator: Suprime-Cam g is 0.1 mag fainter, no colour gradients.
    found = colour_conversions(objects, fake_simulator(survey, objects), survey.spec, seed=0)
    assert found["g-r", 0.15] == pytest.approx(0.1, abs=1e-6)
    assert found["r-i", 0.15] == pytest.approx(0.0, abs=1e-6)


def test_section_excludes_quasars_and_reports_missing_input(survey, objects, reference):
    section = colour_section(objects, survey.spec, reference, None, seed=0)
    judged = [row["verdict"].ok for row in table_rows(section, "medians") if row["verdict"].ok is not None]
    assert judged and all(judged)
    # Every second object becomes a quasar of extreme colour.
    odd_N = np.arange(len(objects)) % 2 == 1
    types = np.where(odd_N, "quasar", objects.truth["galaxy_type"])
    with_quasars = dataclasses.replace(
        objects,
        truth={**objects.truth, "galaxy_type": types},
        mag_NC=objects.mag_NC + 3.0 * odd_N[:, None] * np.array([1, 0, 0, 0, 0]),
    )
    rows = table_rows(colour_section(with_quasars, survey.spec, reference, None, seed=0), "medians")
    assert any(row["colour"] == "g-r" for row in rows)
    assert all(row["simulated_p84"] < row["real_p84"] + 0.5 for row in rows)
    assert "--reference" in colour_section(objects, survey.spec, None, None, seed=0).left_out
    three = dataclasses.replace(objects, bands=("g", "r", "i"), mag_NC=objects.mag_NC[:, :3])
    section = colour_section(three, survey.spec, reference, None, seed=0)
    assert section.left_out and not section.tables
