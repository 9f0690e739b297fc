"""Simulated galaxies observed again: same galaxy, other noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmae.simulation.again import second_image, simulations_of
from mmae.simulation.config import VERSION, SimulationConfig, Variety
from mmae.simulation.source import simulate_galaxy, simulation_source
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec()
CONFIG = SimulationConfig(galaxies=8, seed=5, field_density=0.0)


@pytest.fixture(scope="module")
def observed():
    galaxy, truth = simulate_galaxy(3, CONFIG, SPEC)
    return galaxy, truth


def provenance(**changes) -> dict:
    return {"sources": [{"name": "simulation", **simulation_source(CONFIG, SPEC).provenance, **changes}]}


def test_configuration_is_read_from_the_provenance():
    assert simulations_of(provenance()) == {5: CONFIG}
    assert simulations_of(provenance(version=VERSION - 1)) == {} == simulations_of({})


def test_second_image_has_the_same_galaxy_and_independent_noise(observed):
    galaxy, truth = observed
    second = second_image(galaxy.object_id, galaxy.image_CHW, {5: CONFIG}, SPEC)
    noise_C11 = np.array(SPEC.band_noise)[:, None, None]
    sky = truth.image_CHW < 0.05 * noise_C11
    first_noise, second_noise = ((image - truth.image_CHW) / noise_C11 for image in (galaxy.image_CHW, second))
    assert second_noise[sky].std() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(first_noise[sky], second_noise[sky])[0, 1]) < 0.03


def test_noise_of_a_row_with_variety_is_that_of_the_row():
    config = replace(CONFIG, variety=Variety(scale=1.0, field_targets=0.0))
    assert simulations_of({"sources": [simulation_source(config, SPEC).provenance]}) == {5: config}
    factors = []
    for row in range(6):
        galaxy, truth = simulate_galaxy(row, config, SPEC)
        second = second_image(galaxy.object_id, galaxy.image_CHW, {5: config}, SPEC)
        sky = truth.image_CHW[2] <= np.quantile(truth.image_CHW[2], 0.25)
        first_noise, second_noise = ((image - truth.image_CHW)[2][sky].std() for image in (galaxy.image_CHW, second))
        assert second_noise == pytest.approx(first_noise, rel=0.1)
        factors.append(first_noise / SPEC.band_noise[2])
    assert np.ptp(factors) > 0.2  # the depth varies


def test_galaxies_that_are_not_reproduced_have_no_second_image(observed):
    galaxy, _ = observed
    changed = galaxy.image_CHW + 0.5
    assert second_image(galaxy.object_id, changed, {5: CONFIG}, SPEC) is None
    assert second_image(galaxy.object_id, galaxy.image_CHW, {4: CONFIG}, SPEC) is None
    assert second_image("hsc-12", galaxy.image_CHW, {5: CONFIG}, SPEC) is None
