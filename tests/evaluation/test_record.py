"""One evaluation is one record, and each model gets the sections that apply to it. Without Ray."""

from __future__ import annotations

import io
import json
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.files import folder_lock
from mmae.evaluation import job
from mmae.evaluation.catalogue import read_catalogue, true_widths
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.hidden.parts import measure_hidden_parts, read_training
from mmae.evaluation.job import evaluate
from mmae.evaluation.reconstructions import measure_reconstructions
from mmae.evaluation.record import RECORD
from mmae.evaluation.sections import Results, SplitReadings, make_sections
from mmae.evaluation.tables import write_predictions
from mmae.inference.readings import read_modes
from mmae.loader.collate import galaxy_columns, input_spec
from mmae.loader.stream import CollateGalaxies
from mmae.model.build import build_model
from mmae.model.config import CNNConfig, ContrastiveConfig, MMAEConfig, ModalitiesConfig
from mmae.model.part_configs import ImageConfig, MagnitudesConfig, SpectrumConfig
from mmae.report.contents import Column, Section, Table
from mmae.survey.store import Survey
from mmae.tracking.runs import tracking_uri
from tests.evaluation.test_job import run_of
from tests.realism.surveys import make_survey


def quiet() -> Console:
    return Console(file=io.StringIO(), width=100)


def section(name: str, value: float) -> Section:
    return Section(name, "Redshift", "", (Table("all_z", "", (Column("score"), Column("image")), (("sigma", value),)),))


@pytest.fixture
def surveys(tmp_path) -> dict[str, Survey]:
    return {name: make_survey(tmp_path / name, 60, seed=seed) for seed, name in enumerate(("own", "other"))}


@pytest.fixture
def trained(quick_run, tmp_path, surveys, monkeypatch) -> RunConfig:
    """A run with a trained model; an evaluation gives one number, larger each time."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    numbers = iter(range(1, 100))
    monkeypatch.setattr(job, "start_ray", lambda: None)
    monkeypatch.setattr(job, "run_tasks", lambda *_: None)
    monkeypatch.setattr(job, "make_sections", lambda *_: [section("redshift", float(next(numbers)))])
    monkeypatch.setattr(job, "write_predictions", lambda *_: [])
    return run_of(replace(quick_run, name="first", home=str(tmp_path), survey=str(surveys["own"].path)))


def options(run: RunConfig, **changes) -> EvaluateConfig:
    return replace(EvaluateConfig(run=run.name, home=run.home), **changes)


def test_evaluations_on_two_surveys_are_two_records(trained, surveys):
    own = evaluate(options(trained), quiet())
    other = evaluate(options(trained, survey=str(surveys["other"].path)), quiet())
    validation = evaluate(options(trained, survey=str(surveys["other"].path), split="val"), quiet())
    pages = [own.page, other.page, validation.page]
    assert len(set(pages)) == 3 and all(page.exists() for page in pages)
    values = [json.loads((page.parent / "report.json").read_text())["numbers"] for page in pages]
    assert [v["redshift/all_z/sigma/image"] for v in values] == [1, 2, 3]

    client = MlflowClient(tracking_uri(trained.home_path))
    runs = client.search_runs([client.get_experiment_by_name(trained.experiment).experiment_id])
    (parent,) = [run for run in runs if run.info.run_name == "first"]
    children = {run.info.run_id: run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert set(children) == {e.tracker.run_id for e in (own, other, validation)} and len(runs) == 4
    assert not any(name.startswith("evaluation/") for name in parent.data.metrics)
    for evaluation, value in ((own, 1), (other, 2), (validation, 3)):
        child = children[evaluation.tracker.run_id]
        assert child.data.metrics["evaluation/redshift/all_z/sigma/image"] == value
        assert child.info.status == "FINISHED"
        assert "evaluation/report.html" in {i.path for i in client.list_artifacts(child.info.run_id, "evaluation")}
    assert children[other.tracker.run_id].data.tags["mmae.survey"] == str(surveys["other"].path)
    assert children[validation.tracker.run_id].data.tags["mmae.split"] == "val"


def test_a_repeated_evaluation_replaces_its_own_record_only(trained, surveys):
    other = evaluate(options(trained, survey=str(surveys["other"].path)), quiet())
    first = evaluate(options(trained), quiet())
    again = evaluate(options(trained, bootstrap=30), quiet())
    assert again.tracker == first.tracker and again.page == first.page
    assert json.loads((other.page.parent / "report.json").read_text())["numbers"] == {"redshift/all_z/sigma/image": 1.0}
    record = json.loads((again.page.parents[1] / RECORD).read_text())
    assert record["content_hash"] == surveys["own"].content_hash and record["provenance"]["version"]


def test_another_model_of_the_same_name_does_not_replace_an_evaluation(trained, tmp_path):
    evaluate(options(trained), quiet())
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "first"
    (trained.home_path / "runs" / "first" / "best").rename(copy)
    evaluate(replace(options(trained), run=str(copy)), quiet())  # the first one was moved
    copy.rename(trained.home_path / "runs" / "first" / "best")
    second = run_of(replace(trained, home=str(tmp_path / "second")))
    checkpoint = str(second.home_path / "runs" / "first")
    evaluate(replace(options(trained), run=checkpoint), quiet())
    with pytest.raises(InputError, match="--name"):
        evaluate(options(trained), quiet())
    evaluate(options(trained, name="mine"), quiet())


def test_two_evaluations_of_the_same_record_exclude_each_other(trained):
    first = evaluate(options(trained), quiet())
    with folder_lock(first.page.parents[1], "held"), pytest.raises(InputError, match="another process"):
        evaluate(options(trained), quiet())


def test_files_of_predictions_with_the_same_name_are_different_records(tmp_path):
    pages = []
    for folder, shift in (("a", 0.0), ("b", 0.1)):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "predictions.csv"
        file.write_text("z_true,z_pred\n" + "".join(f"{z / 50},{z / 50 + shift}\n" for z in range(60)))
        pages.append(evaluate(EvaluateConfig(predictions=file, home=str(tmp_path), bootstrap=20), quiet()).page)
    assert len(set(pages)) == 2 and all(page.exists() for page in pages)
    assert "provenance" in json.loads((pages[0].parent / "report.json").read_text())


def test_paths_of_an_evaluation_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = EvaluateConfig(run="a", survey="s", home="h")
    assert (config.survey, config.home) == (str(tmp_path / "s"), str(tmp_path / "h"))
    assert EvaluateConfig(predictions=Path("p.csv")).predictions == tmp_path / "p.csv"


IMAGE, SPECTRUM = ImageConfig(patch=16), SpectrumConfig(patch=512)
SIZES = {"width": 32, "depth": 1, "heads": 2}


def mmae_of(**modalities) -> MMAEConfig:
    return MMAEConfig(modalities=ModalitiesConfig(**modalities), decoder_width=16, **SIZES)


MODELS = {
    "image-only": (mmae_of(image=IMAGE, spectrum=SpectrumConfig(use=False)), ["image"], {"images", "hidden"}),
    "magnitudes": (
        mmae_of(
            image=ImageConfig(use=False), spectrum=SpectrumConfig(use=False), magnitudes=MagnitudesConfig(use=True)
        ),
        ["magnitudes"],
        set(),
    ),
    "image-and-magnitudes": (
        mmae_of(image=IMAGE, spectrum=SpectrumConfig(use=False), magnitudes=MagnitudesConfig(use=True)),
        ["image", "magnitudes", "image and magnitudes"],
        {"images", "hidden"},
    ),
    "cnn": (CNNConfig(width=2, depth=1, hidden=8), ["image"], set()),
    "contrastive": (
        ContrastiveConfig(image=IMAGE, spectrum=SPECTRUM, embedding=8, **SIZES),
        ["image", "spectrum", "both"],
        {"surface"},
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_gets_the_sections_of_what_it_predicts(kind, quick_run, surveys, tmp_path):
    config, modes, more = MODELS[kind]
    survey = surveys["own"]
    model = build_model(config, input_spec(survey.spec)).eval()
    batches, readings = {}, {}
    for split in ("train", "test"):
        table = pq.read_table(survey.files(split), columns=galaxy_columns(survey))
        batches[split] = [CollateGalaxies(survey.spec)(table)]
        read = read_modes(model, batches[split], torch.device("cpu"), survey.spec.wavelength_L())
        readings[split] = SplitReadings(read_catalogue(survey, split), *read)
    assert list(readings["test"].readings) == modes
    catalogue = readings["test"].catalogue
    surface, reconstructions, hidden = Future(), Future(), Future()
    both = {"image", "spectrum"} <= model.n_tokens.keys()
    surface.set_result(np.full((2, 2, len(catalogue)), 0.5) if both else None)
    reconstructions.set_result(
        measure_reconstructions(
            model,
            batches["test"],
            torch.device("cpu"),
            survey.spec,
            catalogue,
            true_widths(survey, catalogue.object_id_N),
            mask_ratio=0.75,
            line_galaxies=2,
            seed=0,
        )
    )
    hidden.set_result(
        measure_hidden_parts(
            model,
            batches["test"],
            torch.device("cpu"),
            survey.spec,
            catalogue,
            training=read_training(batches["train"], survey.spec),
            provenance={},
            paper=None,
            seed=0,
        )
    )
    results = Results(
        survey.spec, readings["test"], readings["train"], catalogue.redshift_N, surface, reconstructions, hidden
    )
    options = EvaluateConfig(run="a", bootstrap=20, surface_ratios=(0.0, 1.0))
    sections = {s.name: s for s in make_sections(results, options)}
    made = {name for name, s in sections.items() if s.tables or s.drawings}
    assert made - {"representation", "shift"} == {"redshift", "pz"} | more
    # Probes need more galaxies than this survey has, and the embeddings of every mode.
    assert list(results.features()) == modes
    inapplicable = {name for name, s in sections.items() if "this model does not" in s.left_out}
    assert inapplicable == {"examples", "surface", "hidden", "spectra", "images"} - more
    files = {path.name for path in write_predictions(results, tmp_path)}
    names = [mode.replace(" ", "_") for mode in modes]
    assert files == {"predictions.parquet", *(f"pz_{name}.hdf5" for name in names)}
    assert {f"z_{name}" for name in names} <= set(pq.read_schema(tmp_path / "predictions.parquet").names)
