"""Studies on two nodes, with two workers per trial, with two objectives; dry runs and repeated studies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import ray
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from mmae.core.errors import InputError
from mmae.core.settings import to_dict
from mmae.study import estimate
from mmae.study.config import StudyConfig, parse_study, save_options
from mmae.study.results import complete
from mmae.study.storage import open_store, read_store, validations_of
from mmae.study.study import run_study
from tests.study.test_study import quiet, runs_of


@pytest.mark.slow
def test_a_study_uses_both_nodes_of_a_cluster(study):
    """In another process, isolated from the Ray instance of the tests."""
    study = replace(study, trials=4, scheduler="none")
    script = Path(__file__).with_name("two_nodes.py")
    log = study.run.home_path / "study.log"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # sockets need short paths
        done = subprocess.run(
            [sys.executable, str(script), json.dumps(to_dict(study))],
            env=os.environ | {"RAY_TMPDIR": folder},
            cwd=study.run.home_path,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            timeout=400,
            check=False,
        )
    assert done.returncode == 0, log.read_text()[-5000:]
    _, children = runs_of(study)
    assert len(children) == 4 and all(r.info.status == "FINISHED" for r in children.values())
    assert len({r.data.tags["mmae.node"] for r in children.values()}) == 2


@pytest.mark.slow
def test_trials_on_two_workers_report_to_the_scheduler(study, ray_cluster):
    """Ray Train inside Ray Tune: a past trial with a much lower scatter stops the next trial."""
    study = replace(study, trials=1, workers_per_trial=2)
    run_study(study, quiet())
    (trial,) = read_store(study.folder).trials
    assert trial.state == TrialState.COMPLETE and list(validations_of(trial)) == [1, 2, 3]
    _, children = runs_of(study)
    assert children["trial-000"].data.metrics["val/image/n"] > 0
    assert children["trial-000"].data.metrics["galaxies_seen"] == study.galaxies_seen

    read_store(study.folder).study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.PRUNED,
            value=1e-9,
            params=trial.params,
            distributions=trial.distributions,
            intermediate_values={1: 1e-9},
            user_attrs={"looks": {1: 1e-9}},
        )
    )
    run_study(replace(study, trials=3), quiet())  # one more, after the added one
    trial = read_store(study.folder).trials[2]
    assert trial.state == TrialState.PRUNED and list(validations_of(trial)) == [1]
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline, "the workers of a stopped trial still hold CPUs"
        time.sleep(0.5)


@pytest.mark.slow
def test_two_objectives_give_a_pareto_front(study, ray_cluster):
    study = replace(study, trials=4, objective="scatter-reconstruction", looks=2)
    result = run_study(study, quiet())
    read = read_store(study.folder).study
    finished = {TrialState.COMPLETE, TrialState.PRUNED}
    assert {t.state for t in read.trials} <= finished and len(read.trials) == 4
    full = [t for t in read.trials if t.state == TrialState.COMPLETE]
    for trial, record in zip(full, sorted(complete(result.records), key=lambda r: r.number), strict=True):
        assert trial.values[1] == pytest.approx(record.cost("reconstruction")) and trial.values[1] > 0
    assert isinstance(read.best_trials[0], optuna.trial.FrozenTrial)
    assert result.winner.scatter.value == min(t.values[0] for t in full)
    _, children = runs_of(study)
    for trial in full:
        metrics = children[f"trial-{trial.number:03d}"].data.metrics
        assert metrics["reconstruction"] == metrics["val/image_loss"] == trial.values[1]
    assert (study.folder / "report" / "pareto_reconstruction.png").exists()


def test_a_dry_run_prints_space_and_budget_and_creates_no_files(tiny_study, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "N_RANDOM", 1)
    home = tmp_path / "home"
    study = replace(tiny_study, dry_run=True, run=replace(tiny_study.run, home=str(home)))
    console = quiet()
    assert run_study(study, console) is None
    text = console.file.getvalue()
    for word in ("image_mask_ratio", "0.2 to 0.9", "16, 32", "192", "TFLOP"):
        assert word in text
    assert not home.exists()


POINTS = [
    {"image_patch": 32, "depth": 2, "image_mask_ratio": 0.3},
    {"image_patch": 16, "depth": 1, "image_mask_ratio": 0.8},
]


@pytest.mark.slow
def test_repeat_tries_the_parameters_of_another_study_in_its_order(study, ray_cluster):
    open_store_of(replace(study, name="first"), POINTS)
    again = run_study(replace(study, name="again", trials=2, repeat="first", scheduler="none"), quiet())
    assert [dict(t.params) for t in read_store(again.folder).trials] == POINTS
    assert all(r.state == "complete" for r in again.records)


def test_repeat_refuses_a_missing_study_and_another_space(study, ray_cluster):
    open_store_of(replace(study, name="first"), POINTS)
    with pytest.raises(InputError, match=r"nothing.*optuna\.db"):
        run_study(replace(study, name="other", repeat="nothing"), quiet())
    with pytest.raises(InputError, match=r"--repeat first: .*depth was \[1, 2\]"):
        run_study(replace(study, name="other", repeat="first", space=replace(study.space, depth=(1,))), quiet())
    assert not (study.folder.parent / "other").exists()


def open_store_of(study: StudyConfig, points: list[dict]) -> None:
    """Create a study whose trials have these parameters; one was stopped, one failed."""
    study.folder.mkdir(parents=True)
    save_options(study, "0123")
    store, space = open_store(study), study.space
    choices = {
        "image_patch": CategoricalDistribution(space.image_patch),
        "depth": CategoricalDistribution(space.depth),
        "image_mask_ratio": FloatDistribution(*space.image_mask_ratio),
    }
    for parameters, state in zip(points, (TrialState.PRUNED, TrialState.FAIL), strict=True):
        store.study.add_trial(optuna.trial.create_trial(state=state, params=parameters, distributions=choices))


def test_options_of_the_command_line(tmp_path):
    config = parse_study(
        "Search.",
        [
            "--recipe",
            "small",
            "--trials",
            "5",
            "--space.depth",
            "2",
            "4",
            "--space.width",
            "--run.optim.clip",
            "0.5",
            "--budget",
            "flops",
            "--gpus-per-trial",
            "0.25",
        ],
    )
    assert config.trials == 5 and config.space.depth == (2, 4) and config.space.width == ()
    assert config.run.optim.clip == 0.5 and config.budget == "flops" and config.gpus_per_trial == 0.25
    with pytest.raises(InputError, match="--recipe.*--config"):
        parse_study("Search.", ["--recipe", "small", "--config", str(tmp_path / "x.yaml")])
