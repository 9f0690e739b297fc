"""The measurements of the input: that they run, and read what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.models.survey import load
from benchmarks.performance import epoch, input, memory, nodes
from mmae.config import RunConfig
from mmae.loader.collate import input_spec
from mmae.recipes import parse_run
from mmae.survey.store import Survey, open_survey
from mmae.tracking.runs import Tracker
from mmae.training.loop import Loop
from mmae.training.run import open_tracker
from mmae.training.step import create_state
from tests.training.test_run import LocalHost


@pytest.fixture
def survey(small_survey):
    return open_survey(small_survey)


def test_lines_of_the_input(survey, quick_run, ray_cluster, monkeypatch):
    monkeypatch.setattr(input, "LOADERS", 0)  # no fork of a process with Ray's threads
    lines = input.lines(survey, quick_run.stream, rows=128, repeats=1)
    assert all(float(line.measured.split()[0].replace(",", "")) > 0 for line in lines)


def test_spectra_of_the_paper_file_are_normalised(survey, tmp_path):
    path = tmp_path / "paper.hdf5"
    input.write_paper_file(survey, path)
    train = load(survey, "train")
    data = input.PaperFile(path)
    assert len(data) == len(train)
    row = int(train.present["spectrum"].nonzero()[0])
    _, flux_L = data[row]
    ivar_L = train.ivar_BL[row]
    assert (flux_L * ivar_L).sum() / ivar_L.sum() == pytest.approx(0, abs=1e-4)
    assert (flux_L.square() * ivar_L).sum() / ivar_L.sum() == pytest.approx(1, rel=1e-4)


def test_a_large_survey_repeats_the_galaxies_of_a_small_one(survey, tmp_path):
    large = open_survey(memory.repeated(survey, 500, tmp_path).path)
    rows, train = sum(shard.rows for shard in large.shards), load(survey, "train")
    assert 500 <= rows < 500 + len(train)
    repeated = load(large, "train")
    which = np.arange(rows) % len(train)
    assert torch.equal(repeated.flux_BL.nan_to_num(), train.flux_BL[which].nan_to_num())


def test_bare_loop_steps(survey, quick_run, monkeypatch):
    monkeypatch.setattr(epoch, "WARM_UP", 1)
    assert epoch.bare_steps(survey, quick_run, steps=1) > 0


class LoggingHost(LocalHost):
    """Logs the training curves to MLflow."""

    def __init__(self, survey: Survey, config: RunConfig, tracker: Tracker):
        super().__init__(survey, config)
        self.tracker = tracker

    def logged(self, curves, step):
        self.tracker.metrics(curves, step)


def pretrain_here(options: dict[str, object], home: Path, address: str) -> None:
    """In place of `epoch.pretrain`: a training with these options without Ray Train."""
    argv = [str(part) for pair in (options | {"--home": home}).items() for part in pair]
    config = parse_run("", [*argv, "--model.width", "48", "--model.depth", "1"])
    survey, run_dir = open_survey(config.survey), home / "runs" / config.name
    state = create_state(config, input_spec(survey.spec), LocalHost.device)
    Loop(config, survey, state, LoggingHost(survey, config, open_tracker(config, run_dir))).run()


def test_rates_between_validations_and_of_the_whole_training(survey, ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(epoch, "WARM_UP", 0)
    monkeypatch.setattr(epoch, "pretrain", pretrain_here)
    between, whole = epoch.trained(survey.path, steps=20, threads=1, home=tmp_path, name="whole")
    assert 0 < whole < between


@pytest.mark.long
def test_rate_of_the_command_on_two_nodes(survey, tmp_path, monkeypatch):
    """On logical nodes of this machine; the rate is found by the name of the run."""
    monkeypatch.setattr(nodes, "WARM_UP", 0)
    assert nodes.rate(survey.path, 2, steps=10, home=tmp_path, name="nodes") > 0


@pytest.mark.long
def test_streams_in_a_process_of_its_own(survey):
    first, curve = memory.streamed(survey.path, rows=256, points=2)
    assert first > 0 and [int(rows) for rows, *_ in curve] == [128, 256]
