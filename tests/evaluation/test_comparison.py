"""The page that compares runs shows the stored numbers of each, and names the runs that have no evaluation."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.evaluation import job
from mmae.evaluation.comparison.stored import stored_evaluations
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.job import evaluate
from mmae.metrics.redshift import scatter_difference
from mmae.report.contents import Column, Drawing, Measured, Section, Table, Verdict
from mmae.survey.store import write_manifest
from mmae.tracking.runs import tracking_uri
from tests.evaluation.cells import rows_by_column
from tests.evaluation.test_job import run_of
from tests.evaluation.test_record import quiet
from tests.realism.surveys import make_survey

SCATTER = {"first": 0.02, "second": 0.01}
MODES = ("image", "spectrum")


def sections_of(name: str) -> list[Section]:
    """Two modes of redshifts, calibration with a verdict, hidden pixels, and a figure."""
    scores = Table(
        "all_z",
        "all z",
        (Column("score"), *(Column(mode, f"{mode} only") for mode in MODES)),
        (
            ("sigma_NMAD", Measured(SCATTER[name], 0.001), Measured(SCATTER[name] / 10, 0.001)),
            ("HSC loss", Measured(0.5, 0.1), Measured(0.5, 0.1)),
        ),
    )
    calibration = Table(
        "calibration", "Calibrated?", (Column("mode"), Column("verdict")), (("image", Verdict(f"of {name}", True)),)
    )
    columns = ("quantity", "n", "value", "target")
    targets = Table(
        "targets",
        "Targets",
        tuple(map(Column, columns)),
        (("MSE of hidden pixels", 500, Measured(5 * SCATTER[name], 0.001), "at most 0.12"),),
    )
    return [
        Section("redshift", "Redshift", "", (scores,), (Drawing("redshift_modes", "all modes", Figure((1, 1))),)),
        Section("pz", "p(z)", "", (calibration,)),
        Section("hidden", "Hidden", "", (targets,)),
    ]


def predictions(name: str) -> dict[str, np.ndarray]:
    """Of the same galaxies, in another order for the second run, which lacks one."""
    rng = np.random.default_rng(0)
    z, noise = rng.uniform(0, 1, 100), rng.normal(size=100)
    order = np.arange(100) if name == "first" else np.arange(99)[::-1]
    ids = np.array([f"g{i}" for i in range(100)])
    return {"object_id": ids[order], "redshift": z[order], "z_image": (z + SCATTER[name] * noise)[order]}


@pytest.fixture
def runs(quick_run, tmp_path, monkeypatch) -> dict[str, RunConfig]:
    """Two trained runs on one survey."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    survey = make_survey(tmp_path / "own", 60, seed=0)
    now = {}

    def write(results, folder):
        pq.write_table(pa.table(predictions(now["name"])), folder / "predictions.parquet")
        return []

    def make_sections(*_):
        return sections_of(now["name"])

    def find_run(run, *arguments):
        now["name"] = run
        return found(run, *arguments)

    found = job.find_run
    monkeypatch.setattr(job, "find_run", find_run)
    monkeypatch.setattr(job, "start_ray", lambda: None)
    monkeypatch.setattr(job, "run_tasks", lambda *_: None)
    monkeypatch.setattr(job, "make_sections", make_sections)
    monkeypatch.setattr(job, "write_predictions", write)
    return {
        name: run_of(replace(quick_run, name=name, seed=seed, home=str(tmp_path), survey=str(survey.path)))
        for seed, name in enumerate(SCATTER)
    }


def comparison(runs: dict[str, RunConfig], **changes) -> EvaluateConfig:
    home = next(iter(runs.values())).home
    return replace(EvaluateConfig(compare=tuple(runs), home=home, bootstrap=50), **changes)


def test_runs_are_compared_by_their_stored_numbers(runs):
    for run in runs.values():
        evaluate(EvaluateConfig(run=run.name, home=run.home), quiet())
    result = evaluate(comparison(runs), quiet())
    sections = {section.name: section for section in result.sections}

    rows = rows_by_column(sections["redshift"], "all_z")
    assert [(row["quantity"], row["first"].value, row["second"].value) for row in rows] == [
        ("image only", 0.02, 0.01),
        ("spectrum only", 0.002, 0.001),
    ]
    (pixels,) = rows_by_column(sections["hidden"], "targets")
    assert (pixels["first"].value, pixels["second"].value, pixels["target"]) == (0.1, 0.05, "at most 0.12")
    (calibrated,) = rows_by_column(sections["pz"], "calibration")
    assert (calibrated["first"], calibrated["second"]) == ("of first", "of second")
    (seed,) = rows_by_column(sections["settings"], "configuration")
    assert (seed["setting"], seed["first"], seed["second"]) == ("seed", "0", "1")

    # The difference is of the galaxies that both have, in the order of neither file.
    (difference,) = rows_by_column(sections["redshift"], "difference")
    first, second = (predictions(name) for name in runs)
    shared = [list(first["object_id"]).index(name) for name in np.sort(second["object_id"])]
    other = np.argsort(second["object_id"])
    expected = scatter_difference(
        first["redshift"][shared], second["z_image"][other], first["z_image"][shared], seed=0, resamples=50
    )
    assert difference["n"] == 99 and difference["difference"].value == pytest.approx(expected.value)
    assert difference["verdict"].text == "smaller"

    figures = [drawing.name for drawing in sections["redshift"].drawings]
    assert figures == ["redshift_modes_first", "redshift_modes_second"] and sections["redshift"].abreast == 2
    summary = json.loads((result.page.parent / "report.json").read_text())["summary"]
    assert "second has the smallest scatter" in summary[0]["verdicts"][0]["verdict"]
    client = MlflowClient(tracking_uri(next(iter(runs.values())).home_path))
    logged = {item.path for item in client.list_artifacts(result.tracker.run_id, "comparison")}
    assert {"comparison/report.html", "comparison/redshift_modes_first.png"} <= logged
    assert client.get_run(result.tracker.run_id).info.status == "FINISHED"


def test_a_run_without_an_evaluation_is_named_with_the_command(runs, tmp_path):
    with pytest.raises(InputError, match="first, second.*evaluate.py --run first"):
        evaluate(comparison(runs), quiet())
    evaluate(EvaluateConfig(run="first", home=str(tmp_path)), quiet())
    with pytest.raises(InputError, match=f"of second.*--run second --survey {tmp_path}/own --home {tmp_path}"):
        evaluate(comparison(runs), quiet())
    with pytest.raises(InputError, match="split val.*--split val"):
        evaluate(comparison(runs, split="val"), quiet())
    assert not (tmp_path / "comparisons").exists()


def test_a_survey_is_chosen_if_there_are_several(runs, tmp_path):
    other = replace(make_survey(tmp_path / "other", 60, seed=1), content_hash="another")
    write_manifest(other)
    for name in runs:
        for survey in ("", str(other.path)):
            evaluate(EvaluateConfig(run=name, home=str(tmp_path), survey=survey), quiet())
    with pytest.raises(InputError, match="--survey"):
        evaluate(comparison(runs), quiet())
    found = stored_evaluations(comparison(runs, survey=str(other.path)))
    assert {evaluation.record.content_hash for evaluation in found} == {other.content_hash}


@pytest.mark.parametrize("compare", [("a",), ("a", "a")])
def test_fewer_than_two_different_runs_are_refused(compare):
    with pytest.raises(ValueError, match="two or more different runs"):
        EvaluateConfig(compare=compare)
