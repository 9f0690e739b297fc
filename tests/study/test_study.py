"""A study from end to end: trials in Optuna and MLflow, winner, report; repeated and extended."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState
from rich.console import Console

import mmae.study.conclude
from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.settings import from_yaml
from mmae.inference.checkpoint import load_model
from mmae.study.config import StudyConfig
from mmae.study.space import model_field, run_of
from mmae.study.storage import read_store
from mmae.study.study import run_study


def quiet() -> Console:
    return Console(file=io.StringIO(), width=80)


def runs_of(study: StudyConfig) -> tuple[Run, dict[str, Run]]:
    """The MLflow run of the study, and its children by name."""
    client = MlflowClient(f"sqlite:///{study.run.home_path}/mlflow/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name(study.run.experiment).experiment_id])
    (parent,) = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(runs) == 1 + len(children)
    assert len({r.info.run_name for r in children}) == len(children)  # each exactly once
    return parent, {r.info.run_name: r for r in children}


def files(study: StudyConfig, run: Run, folder: str | None = None) -> set[str]:
    client = MlflowClient(f"sqlite:///{study.run.home_path}/mlflow/mlflow.db")
    found = set()
    for item in client.list_artifacts(run.info.run_id, folder):
        found |= files(study, run, item.path) if item.is_dir else {item.path}
    return found


@pytest.mark.long
def test_a_study_ends_with_a_winner_and_a_report(study, ray_cluster, monkeypatch):
    study = replace(study, trials=2, concurrent=1)  # all trials in one process
    console = quiet()
    result = run_study(study, console)

    trials = read_store(study.folder).trials
    assert [t.number for t in trials] == [0, 1]
    assert all(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)
    # The first trial is the base run.
    assert trials[0].params == {"image_patch": 16, "depth": 1, "image_mask_ratio": study.run.masks.image_ratio[1]}

    parent, children = runs_of(study)
    assert parent.info.status == "FINISHED" and set(children) == {"trial-000", "trial-001"}
    for trial in trials:
        run = children[f"trial-{trial.number:03d}"]
        assert run.info.status == "FINISHED"
        assert float(run.data.params["image_mask_ratio"]) == pytest.approx(trial.params["image_mask_ratio"], rel=1e-4)
        assert run.data.params["depth"] == str(trial.params["depth"])
        assert run.data.params["spectrum_patch"] == str(
            model_field(study.run.model, "spectrum_patch")
        )  # fixed, yet comparable
        metrics = run.data.metrics
        assert metrics["sigma_nmad"] == pytest.approx(trial.user_attrs["scatter"][0])
        assert metrics["sigma_nmad_low"] <= metrics["sigma_nmad"] <= metrics["sigma_nmad_high"]
        assert min(metrics[n] for n in ("seconds", "galaxies_per_s", "parameters", "flops", "throughput")) > 0
        assert metrics["galaxies_seen"] <= study.galaxies_seen
        assert run.data.tags["mmae.node"]
        assert {"figures/redshift_image.png", "config.yaml"} <= files(study, run)

    best = min((t for t in trials if t.state == TrialState.COMPLETE), key=lambda t: t.value)
    assert result.winner.number == best.number
    assert from_yaml(result.best, RunConfig) == replace(run_of(best.params, study.run), name="")
    _, trained = load_model(study.folder / "best")
    assert trained.model == from_yaml(result.best, RunConfig).model and trained.optim.steps == 6
    assert files(study, parent) >= {
        "best.yaml",
        "study.yaml",
        "predictions.parquet",
        "checkpoint/model.safetensors",
        "figures/redshift_image.png",
        "report/report.html",
        "report/history.png",
        "report/pareto_full_flops.png",
    }
    assert parent.data.metrics["best/sigma_nmad"] == pytest.approx(best.value, rel=1e-6)
    assert parent.data.metrics["test/image/all_z/n"] > 0
    assert f"trial {best.number}, on the test split" in console.file.getvalue()

    # The same command again runs no trial and does not score the test split.
    monkeypatch.setattr(mmae.study.conclude, "score_checkpoint", forbidden)
    again = run_study(study, quiet())
    assert again.winner == result.winner and again.records == result.records
    assert runs_of(study)[1].keys() == children.keys()

    with pytest.raises(InputError, match="galaxies_seen was 192, is 999"):
        run_study(replace(study, galaxies_seen=999), quiet())
    with pytest.raises(InputError, match=r"space\.depth was \[1, 2\], is \[1\]"):
        run_study(replace(study, space=replace(study.space, depth=(1,))), quiet())

    # More trials extend the study.
    monkeypatch.undo()
    run_study(replace(study, trials=3), quiet())
    assert [t.number for t in read_store(study.folder).trials] == [0, 1, 2]
    assert len(runs_of(study)[1]) == 3
    kept = json.loads((study.folder / "report" / "report.json").read_text())
    assert len(next(s for s in kept["sections"] if s["name"] == "trials")["tables"][0]["rows"]) == 3


def forbidden(*args, **kwargs):
    raise AssertionError("the test split may be scored once only")
