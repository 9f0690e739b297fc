"""Re-simulation of rows with a fake and with the real simulator."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.realism.photometry import SPECTRUM_GRID, image_magnitudes, spectrum_magnitudes
from mmae.realism.rows import Objects
from mmae.realism.simulator import reproduces_truth, row_of, survey_simulator
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulate_galaxy
from mmae.survey.schema import SurveySpec
from mmae.survey.store import Survey
from tests.realism.surveys import fake_simulator

SPEC = SurveySpec()


def test_row_numbers():
    assert row_of("sim-3-0000012") == 12
    assert row_of("39633-7") is None and row_of("sim-x") is None


def test_changed_simulator_is_detected(survey, objects):
    same = fake_simulator(survey, objects)
    assert reproduces_truth(same, objects)
    other = dataclasses.replace(same, mag_C=lambda truth: truth + 0.05)
    assert not reproduces_truth(other, objects)
    assert not reproduces_truth(same, dataclasses.replace(objects, truth=None))


def test_survey_that_was_not_simulated(survey, objects):
    loaded = survey_simulator(survey, objects)
    assert loaded.value is None and loaded.reason


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> tuple[Survey, Objects]:
    """A survey with the provenance of build_survey, without shards, and the truth of three rows."""
    config = SimulationConfig(galaxies=50, seed=3)
    rows = [simulate_galaxy(row, config, SPEC)[1].row for row in range(3)]
    truth = {f"{b}_mag": np.array([row[f"{b}_mag"] for row in rows]) for b in SPEC.bands}
    objects = Objects(
        SPEC.bands,
        np.array([row["object_id"] for row in rows]),
        np.full(3, "train"),
        np.full(3, 0.1),
        np.zeros((3, 5)),
        np.full(3, "EXP"),
        truth,
    )
    provenance = {"sources": [{"name": "simulation", "source": "simulation", **dataclasses.asdict(config)}]}
    return Survey(tmp_path_factory.mktemp("none"), SPEC, provenance, {}, "", ()), objects


def test_real_simulator_reproduces_true_magnitudes(simulated):
    simulator = survey_simulator(*simulated).value
    truth = simulator.simulate(1)
    true_C = simulator.mag_C(truth)
    image_CHW = simulator.target_image(truth, 256)
    assert image_magnitudes(image_CHW, SPEC.zero_point) == pytest.approx(true_C, abs=0.03)
    flux_L = simulator.total_spectrum(truth, SPECTRUM_GRID)
    assert spectrum_magnitudes(SPECTRUM_GRID, flux_L, SPEC.bands) == pytest.approx(true_C, abs=0.01)
    assert simulator.subaru_mag_C(truth) == pytest.approx(true_C[:4], abs=0.5)
    spread = simulator.line_spread(np.array([4000.0, 5780.0, 9000.0]))
    assert spread == pytest.approx(np.full(3, 0.7), abs=0.1)


def test_survey_of_another_version_has_no_simulator(simulated):
    survey, objects = simulated
    old = {"sources": [{"name": "simulation", "n_galaxies": 50, "seed": 3}]}
    loaded = survey_simulator(dataclasses.replace(survey, provenance=old), objects)
    assert loaded.value is None and loaded.reason
    other = {**objects.truth, "i_mag": objects.truth["i_mag"] + 0.1}
    loaded = survey_simulator(survey, dataclasses.replace(objects, truth=other))
    assert loaded.value is None and loaded.reason
