"""End-to-end evaluation: model and survey to report, tables and MLflow."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.evaluation import job
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.job import LOGGED, evaluate
from mmae.evaluation.tasks import SplitInput
from mmae.inference.checkpoint import load_model
from mmae.inference.find_run import find_run
from mmae.loader.collate import galaxy_columns, input_spec
from mmae.loader.stream import CollateGalaxies, read_split
from mmae.model.config import PaperConfig
from mmae.model.masking import fixed_visible
from mmae.report.contents import numbers
from mmae.survey.leaks import TRAINING_ROWS, write_training_rows
from mmae.survey.store import Survey, open_survey
from mmae.tracking.runs import tracking_uri
from mmae.training.checkpoint import save_model
from mmae.training.run import open_tracker
from mmae.training.step import create_state

SECTIONS = ["examples", "redshift", "surface", "pz", "hidden", "flags", "spectra", "images", "representation", "shift"]


def quiet() -> Console:
    return Console(file=io.StringIO(), width=100)


@pytest.fixture
def trained(quick_run: RunConfig, small_survey, tmp_path) -> RunConfig:
    """A finished run with untrained weights."""
    run = replace(quick_run, name="first", home=str(tmp_path), survey=str(small_survey))
    return run_of(run)


def run_of(run: RunConfig) -> RunConfig:
    survey = open_survey(run.survey)
    folder = run.home_path / "runs" / run.name
    best = folder / "best"
    best.mkdir(parents=True)
    state = create_state(run, input_spec(survey.spec), torch.device("cpu"))
    save_model(best, state, state.best_weights, run, {})
    write_training_rows(survey, best)
    open_tracker(run, folder).finish()
    return run


def read_without_ray(run: RunConfig, survey: Survey) -> list[float]:
    """Redshifts from the images of the test split, in file order."""
    model, _ = load_model(run.home_path / "runs" / run.name / "best")
    batch = CollateGalaxies(survey.spec)(pq.read_table(survey.files("test"), columns=galaxy_columns(survey)))
    return model.read(batch, [fixed_visible(batch, model.n_tokens, ("image",))])[0].redshift_B.tolist()


def small(run: RunConfig, **changes) -> EvaluateConfig:
    """An evaluation of few galaxies, with few resamples."""
    return replace(
        EvaluateConfig(run=run.name, home=run.home, bootstrap=20, surface_ratios=(0.0, 0.5, 1.0), batch_size=16),
        **changes,
    )


def test_evaluation_of_a_model_end_to_end(trained, small_survey, ray_cluster):
    console = quiet()
    result = evaluate(small(trained, baseline_run="first"), console)
    assert [s.name for s in result.sections] == SECTIONS
    survey = open_survey(small_survey)
    n_test = survey.rows_per_split()["test"]
    folder = trained.home_path / "evaluations" / "first" / f"sim-test-{survey.content_hash[:8]}"
    assert result.page == folder / "evaluation" / "report.html"
    content = json.loads((folder / "evaluation" / "report.json").read_text())
    assert content["model"].startswith(str(trained.home_path / "runs" / "first" / "best"))
    assert f"{n_test} galaxies" in content["split"]

    table = pq.read_table(folder / "predictions.parquet").to_pydict()
    assert len(table["object_id"]) == n_test == len(set(table["object_id"]))
    truth = pq.read_table(
        open_survey(small_survey).files("test"), columns=["object_id", "redshift", "flux"]
    ).to_pydict()
    assert table["object_id"] == truth["object_id"]
    for given, known in zip(table["redshift"], truth["redshift"], strict=True):
        assert given == known or given == pytest.approx(known)
    has_spectrum = [flux is not None for flux in truth["flux"]]
    assert [z is not None for z in table["z_spectrum"]] == has_spectrum and not all(has_spectrum)
    assert table["z_image"] == pytest.approx(read_without_ray(trained, open_survey(small_survey)), rel=1e-5)
    assert (folder / "pz_image.hdf5").exists()

    client, uri = MlflowClient(tracking_uri(trained.home_path)), tracking_uri(trained.home_path)
    run = client.get_run(result.tracker.run_id)
    assert run.data.tags["mlflow.parentRunId"] == find_run("first", trained.home_path, uri).run.run_id
    logged = {item.path for item in client.list_artifacts(run.info.run_id, "evaluation")}
    assert {"evaluation/report.html", "evaluation/predictions.parquet", "evaluation/pz_both.hdf5"} <= logged
    assert run.data.metrics["evaluation/redshift/all_z/galaxies/image"] > 0
    expected = {f"evaluation/{name}" for name in content["numbers"] if name.startswith(LOGGED)}
    assert {name for name in run.data.metrics if name.startswith("evaluation/")} == expected
    assert {"evaluation/pz/scores/image/crps", "evaluation/pz/scores/image/crps_error"} <= set(run.data.metrics)
    assert len(run.data.metrics) < 500  # report.json has thousands
    assert str(result.page) in console.file.getvalue()


def test_galaxies_in_a_different_order_than_the_catalogue_are_refused(trained, small_survey, ray_cluster):
    survey = open_survey(small_survey)
    data = read_split(survey, "test", trained.stream)
    names = np.array([row["object_id"] for row in data.select_columns(["object_id"]).take_all()], object)
    test = SplitInput(trained.home_path, data, names, survey.spec, 16, 1)
    assert sum(len(batch) for batch in test.batches()) == len(names)
    names[[3, 4]] = names[[4, 3]]
    with pytest.raises(RuntimeError, match="row 0"):
        list(replace(test, object_id_N=names).batches())


@pytest.mark.long
def test_evaluation_without_p_z_and_without_training_galaxies(
    quick_run, small_survey, tmp_path, ray_cluster, monkeypatch
):
    """Sections that cannot be made are left out with a reason, the others are complete."""
    paper = PaperConfig(width=16, depth=1, cross_depth=1, heads=2, hidden=(16, 16))
    run = run_of(
        replace(quick_run, name="paper", model=paper, redshift_masks=None, home=str(tmp_path), survey=str(small_survey))
    )

    def without_training_split(path):
        survey = open_survey(path)
        return replace(survey, shards=tuple(shard for shard in survey.shards if shard.split == "test"))

    monkeypatch.setattr(job, "open_survey", without_training_split)
    result = evaluate(small(run), quiet())
    sections = {s.name: s for s in result.sections}
    assert list(sections) == SECTIONS
    for name in ("pz", "flags", "representation", "shift"):
        assert sections[name].left_out and not sections[name].tables
    assert all(sections[name].tables for name in ("redshift", "surface", "images"))
    assert not any(name.endswith("training_median") for name in numbers([sections["redshift"]]))
    assert not list((run.home_path / "evaluations" / "paper").rglob("pz_*"))


def test_leaked_survey_is_refused_without_output(trained, small_survey, tmp_path):
    """The training rows recorded with the model are those of the test split."""
    rows = trained.home_path / "runs" / "first" / "best" / TRAINING_ROWS
    table = pq.read_table(rows)
    test = pq.read_table(open_survey(small_survey).files("test"), columns=["object_id", "targetid", "ra", "dec"])
    leaked = (
        test.append_column("split", pa.array(["train"] * len(test)))
        .select(table.column_names)
        .cast(table.schema.remove_metadata())
    )
    pq.write_table(leaked.replace_schema_metadata(table.schema.metadata), rows)
    with pytest.raises(InputError, match=str(len(test))):
        evaluate(small(trained), quiet())
    rows.unlink()
    with pytest.raises(InputError, match=TRAINING_ROWS):
        evaluate(small(trained), quiet())
    assert not (trained.home_path / "evaluations").exists()


def test_evaluation_of_a_file_of_predictions(tmp_path):
    rng = np.random.default_rng(1)
    z = rng.uniform(0, 1, 500)
    file = tmp_path / "mine.csv"
    file.write_text(
        "y_test,y_pred\n" + "\n".join(f"{a},{b}" for a, b in zip(z, z + 0.02 * rng.normal(size=500), strict=True))
    )
    console = quiet()
    result = evaluate(EvaluateConfig(predictions=file, home=str(tmp_path), bootstrap=20), console)
    assert result.page.exists() and result.tracker is None
    assert "z<0.4" in console.file.getvalue() and "paper" in console.file.getvalue()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "--run.*--predictions"),
        ({"run": "a", "split": "all"}, "split.*train, val, test"),
        ({"run": "a", "galaxies": -1}, "galaxies is -1"),
        ({"run": "a", "surface_ratios": (0.5, 0.2)}, "surface_ratios"),
        ({"run": "a", "mask_ratio": 1.0}, "mask_ratio"),
        ({"run": "a", "name": "a/b"}, "a/b"),
    ],
)
def test_invalid_options_are_refused(values, named):
    with pytest.raises(ValueError, match=named):
        EvaluateConfig(**values)


def test_model_is_found_by_name_folder_and_run_id(trained):
    uri, home = tracking_uri(trained.home_path), trained.home_path
    by_name = find_run("first", home, uri)
    assert by_name.name == "first" and by_name.run is not None
    folder = home / "runs" / "first"
    assert find_run(str(folder), home, uri) == by_name == find_run(str(folder / "best"), home, uri)
    assert find_run(by_name.run.run_id, home, uri) == by_name
    with pytest.raises(InputError, match="--run nobody.*model.safetensors"):
        find_run("nobody", home, uri)
