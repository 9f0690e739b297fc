"""The lines of benchmarks/models/real_sky.py: changed copies, figures, and a run of all lines with few galaxies."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.models import real_sky, real_sky_samples, real_sky_scores
from benchmarks.models.real_sky_scores import Seen
from mmae.core.errors import InputError
from mmae.core.tasks import in_processes
from mmae.ingest.build import build_survey
from mmae.loader.collate import input_spec
from mmae.model.batch import Batch
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulation_source
from mmae.survey.schema import SurveySpec
from mmae.training.checkpoint import save_model
from mmae.training.step import create_state

DATA = Path(__file__).parents[3] / "shared/data/galaxies"
NOISE = (1.0, 2.0)


def batch(n: int = 400) -> Batch:
    generator = torch.Generator().manual_seed(0)
    values = {
        "image": torch.randn(n, 2, 8, 8, generator=generator) * torch.tensor(NOISE)[:, None, None] + 3.0,
        "flux": torch.arange(20.0).repeat(n, 1),
        "ivar": torch.full((n, 20), 4.0),
    }
    present_B = torch.ones(n, dtype=torch.bool)
    known = {"image": present_B, "spectrum": present_B}
    return Batch(values, known, torch.full((n,), 0.5), present_B, torch.ones(n), [f"g{i}" for i in range(n)])


def test_parts_of_images_are_removed_from_one_band_and_the_original_stays():
    original = batch()
    band = real_sky_samples.without_band(original, 1).image_BCHW
    assert band[:, 1].isnan().all() and band[:, 0].isfinite().all()
    columns = real_sky_samples.without_columns(original, 0, 0.25, seed=1).image_BCHW
    missing_BW = columns[:, 0].isnan().all(1)
    assert (missing_BW.sum(1) == 2).all() and (columns[:, 0].isnan().sum((1, 2)) == 16).all()
    assert len({tuple(row.tolist()) for row in missing_BW}) > 1 and columns[:, 1].isfinite().all()
    assert original.image_BCHW.isfinite().all()


def test_fainter_images_have_less_signal_and_the_same_noise():
    faint = real_sky_samples.fainter(batch(), 2.5, NOISE, seed=1).image_BCHW
    assert faint.mean((0, 2, 3)) == pytest.approx([0.3, 0.3], abs=0.05)
    assert faint.std((0, 2, 3)) == pytest.approx(NOISE, rel=0.02)


@pytest.mark.parametrize("shift", [3, -3])
def test_shifted_spectra_lose_what_leaves_the_range(shift):
    changed = real_sky_samples.shifted(batch(2), shift)
    kept = slice(3, None) if shift > 0 else slice(None, -3)
    assert changed.flux_BL[0, kept].tolist() == (np.arange(20)[kept] - shift).tolist()
    assert (changed.ivar_BL > 0).sum(1).tolist() == [17, 17]


def test_noise_has_the_errors_of_the_spectra():
    noise = real_sky_samples.noise_only(batch(), seed=1)
    assert (noise.flux_BL * noise.ivar_BL.sqrt()).std() == pytest.approx(1, abs=0.03)


def test_rows_are_those_that_are_wanted():
    config = SimulationConfig(galaxies=60, contaminant_fraction=1.0)
    wanted = partial(real_sky_samples.is_kind, kind="sky")
    assert len(set(real_sky_samples.chosen_rows(config, 5, wanted))) == 5
    with pytest.raises(InputError, match="60"):
        real_sky_samples.chosen_rows(config, 60, wanted)


def test_figures_count_what_they_are_named_after():
    true_N = np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    seen = Seen(
        [*"abcde"],
        true_N,
        np.array([1.001, 1.2, 2.0, 2.0, 1.0]),
        np.array([0.9, 1.1, 1.9995, 1.0, 0.9999]),
        np.array([1.1, 1.3, 2.0005, 3.0, 1.0001]),
        np.array([0, 0, 0, 8, 8]),
    )
    value = {
        figure.__name__: figure(seen).value
        for figure in (
            real_sky_scores.right,
            real_sky_scores.outliers,
            real_sky_scores.silent_outliers,
            real_sky_scores.narrow,
            real_sky_scores.certain,
            real_sky_scores.flagged,
            real_sky_scores.coverage,
            real_sky_scores.unflagged_coverage,
        )
    }
    assert value == {
        "right": 0.25,
        "outliers": 0.5,
        "silent_outliers": 0.25,
        "narrow": 0.4,
        "certain": 0.2,
        "flagged": 0.4,
        "coverage": 0.5,
        "unflagged_coverage": pytest.approx(1 / 3),
    }
    assert real_sky_scores.scatter_ratio(seen, seen).value == 1


@pytest.fixture
def trained(quick_run, tmp_path) -> Path:
    """Checkpoint of an untrained model of a simulated survey."""
    source = simulation_source(SimulationConfig(galaxies=24), SurveySpec())
    survey = build_survey([source], tmp_path / "survey", workers=1, run=in_processes)
    run = replace(quick_run, survey=str(survey.path))
    state = create_state(run, input_spec(survey.spec), torch.device("cpu"))
    best = tmp_path / "run" / "best"
    best.mkdir(parents=True)
    save_model(best, state, state.best_weights, run, {})
    return best.parent


@pytest.fixture
def data(tmp_path) -> Path:
    """A few of the real spectra."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} with real spectra is not here")
    folder = tmp_path / "data"
    (folder / "boss").mkdir(parents=True)
    for path in [*sorted(DATA.glob("boss/spec-*.fits"))[:2], *DATA.glob("desi_*.fits*")]:
        (folder / path.relative_to(DATA)).symlink_to(path)
    return folder


@pytest.mark.long
def test_all_lines_of_an_untrained_model(trained, data, tmp_path):
    options = Namespace(run=str(trained), home=str(tmp_path), out=tmp_path / "out", data=data, galaxies=4, workers=1)
    page = real_sky.real_sky(options, lambda text: None)
    content = json.loads(page.with_name("report.json").read_text())
    assert [section["name"] for section in content["sections"]] == [name for name, *_ in real_sky.GROUPS]
    assert len((page.parent / "real_sky.md").read_text().splitlines()) > 40
