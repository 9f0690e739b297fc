"""The main job end to end: Parquet through Ray Data and Ray Train into MLflow."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import mmae
from benchmarks.faults.cluster import checkpoints, processes_below, wait_until
from mmae.config import OptimConfig, RunConfig
from mmae.core.errors import InputError
from mmae.core.settings import flat, from_yaml, to_yaml
from mmae.inference.checkpoint import load_model
from mmae.inference.flags import load_flags
from mmae.ingest.config import BuildConfig
from mmae.ingest.job import build_job
from mmae.loader.collate import input_spec
from mmae.loader.config import StreamConfig
from mmae.loader.stream import read_split
from mmae.metrics.redshift import ALL_Z, sigma_nmad
from mmae.report.score_table import with_error
from mmae.study.space import with_fields
from mmae.survey.columns import split_hash
from mmae.survey.leaks import require_no_leak
from mmae.survey.store import Survey, open_survey
from mmae.tracking.runs import Tracker, tracking_uri
from mmae.training import run as run_module
from mmae.training.baselines import FILLED_LOSS, MEDIAN_SCATTER
from mmae.training.final_scores import score_run
from mmae.training.loop import Loop
from mmae.training.run import RunResult, pretrain, require_usable
from mmae.training.run_folder import SURVEY_HASHES
from mmae.training.step import create_state
from tests.ingest.files import SHARED_GALAXIES, needs_shared, write_galaxiesml


@pytest.fixture
def config(tmp_path, small_survey, quick_run, monkeypatch) -> RunConfig:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return replace(quick_run, home=str(tmp_path), survey=str(small_survey), name="quick")


def artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    found = set()
    for item in client.list_artifacts(run_id, folder):
        found |= artifacts(client, run_id, item.path) if item.is_dir else {item.path}
    return found


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, small_survey, quick_run, ray_cluster) -> tuple[RunConfig, RunResult]:
    """A finished run, shared by several tests."""
    home = tmp_path_factory.mktemp("first")
    config = replace(quick_run, home=str(home), survey=str(small_survey), name="quick")
    result = pretrain(config)
    return from_yaml(result.run_dir / "config.yaml", RunConfig), result  # with name and lanes


def test_main_job_trains_scores_and_records(first_run):
    config, result = first_run

    client = MlflowClient(result.tracker.uri)
    run = client.get_run(result.tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {k: str(v) for k, v in flat(config).items()}
    survey = open_survey(config.survey)
    assert run.data.tags["mmae.survey_hash"] == survey.content_hash
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.name == survey.path.name and survey.content_hash.startswith(given.dataset.digest)
    (model,) = json.loads(run.data.tags["mlflow.log-model.history"])
    assert (model["run_id"], model["artifact_path"]) == (run.info.run_id, "model")

    # Scores in MLflow equal those recomputed from the predictions file.
    predictions = pq.read_table(result.run_dir / "predictions.parquet").to_pandas()
    assert len(predictions) == survey.rows_per_split()["test"]
    labelled = predictions.dropna(subset=["redshift", "z_image"])
    dz = (labelled["z_image"] - labelled["redshift"]) / (1 + labelled["redshift"])
    metrics = run.data.metrics
    assert metrics["test/image/all_z/sigma_nmad"] == pytest.approx(sigma_nmad(dz), rel=1e-5)
    assert metrics["test/image/all_z/n"] == len(labelled)
    assert metrics["test/image/all_z/sigma_nmad_low"] <= metrics["test/image/all_z/sigma_nmad_high"]

    assert "σ_NMAD" in run.data.tags["mlflow.note.content"]
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.artifact_location.startswith("file:///")

    steps, losses = result.tracker.history("train/loss")
    assert steps[-1] == config.optim.steps and np.isfinite(losses).all()
    assert result.tracker.history("val/image/sigma_nmad")[0] == [4, 8, 10]
    assert artifacts(client, run.info.run_id) >= {
        "config.yaml",
        "predictions.parquet",
        "checkpoint/model.safetensors",
        "checkpoint/state.json",
        "checkpoint/config.yaml",
        "model/MLmodel",
        "figures/redshift_image.png",
        "figures/redshift_spectrum.png",
        "figures/redshift_both.png",
        "figures/images.png",
        "figures/spectra.png",
        "figures/loss.png",
    }
    pictures = {name for name in artifacts(client, run.info.run_id) if name.endswith(".png") and "step" in name}
    assert {int(re.search(r"step\D(\d+)", name)[1]) for name in pictures} == {4, 8, 10}
    for level in (MEDIAN_SCATTER, FILLED_LOSS):
        assert len(set(result.tracker.history(level)[1])) == 1 and metrics[level] > 0

    logged = Path(client.download_artifacts(run.info.run_id, "checkpoint"))
    _, again = load_model(logged)
    assert again == config


def test_a_run_leaves_a_bundle(first_run):
    """In its folder and in MLflow, with the scores on its card."""
    _, result = first_run
    bundle = mmae.load(result.run_dir / "bundle")
    logged = MlflowClient(result.tracker.uri).download_artifacts(result.tracker.run_id, "model/artifacts/bundle")
    assert mmae.load(logged).hash == bundle.hash
    assert with_error(result.table["image"][ALL_Z]["sigma_nmad"]) in (result.run_dir / "bundle/README.md").read_text()


def test_a_run_stores_its_training_rows(first_run):
    """So that an evaluation can refuse galaxies of its training."""
    config, result = first_run
    survey, client = open_survey(config.survey), MlflowClient(result.tracker.uri)
    assert client.get_run(result.tracker.run_id).data.tags["mmae.split_hash"] == split_hash(survey)
    rows = survey.rows_per_split()
    for folder in (result.run_dir / "best", Path(client.download_artifacts(result.tracker.run_id, "checkpoint"))):
        assert require_no_leak(folder, survey, "test").trained == rows["train"] + rows["val"]
        with pytest.raises(InputError, match=f"{rows['val']} of the {rows['val']} galaxies of the val split"):
            require_no_leak(folder, survey, "val")


@pytest.mark.long
def test_same_seed_gives_the_same_losses_after_its_worker_was_killed(first_run, capsys):
    """kill -9 after the first checkpoint: Ray Train restarts the worker. The progress of both is shown."""
    config, first = first_run
    config = replace(config, name="twin")
    with ThreadPoolExecutor() as pool:
        steps = pool.submit(kill_worker_after_first_checkpoint, config.home_path / "runs" / config.name)
        second = pretrain(config)
    assert steps.result() and max(steps.result()) < config.optim.steps  # in the middle, not at the end
    out, err = capsys.readouterr()
    assert "\nstep 4/10: " in out and "\nresumed at step " in out and "training: 0/10\n" in err
    for name in ("val/loss", "val/image/sigma_nmad"):
        again, once = (dict(zip(*run.tracker.history(name), strict=True)) for run in (second, first))
        assert again == once


def kill_worker_after_first_checkpoint(run_dir: Path) -> list[int]:
    """The steps of the run's checkpoints after its worker was killed."""
    wait_until(lambda: checkpoints(run_dir), "a checkpoint")
    (worker,) = processes_below(psutil.Process(), "RayTrainWorker")
    worker.kill()
    psutil.wait_procs([worker], timeout=60)
    return list(checkpoints(run_dir))


@pytest.mark.slow
def test_two_workers_share_the_validation_split(first_run):
    config, one = first_run
    two = pretrain(replace(config, name="two", compute=replace(config.compute, workers=2)))
    # At the first validation both networks are nearly equal, and so must be the scatter: that of all validation
    # galaxies, not of one worker's half.
    _, alone = one.tracker.history("val/spectrum/sigma_nmad")
    _, together = two.tracker.history("val/spectrum/sigma_nmad")
    assert len(together) == len(alone)
    assert two.tracker.history("val/image/n") == one.tracker.history("val/image/n")
    assert together[0] == pytest.approx(alone[0], rel=0.5)
    rows = pq.read_table(two.run_dir / "predictions.parquet").num_rows
    assert rows == open_survey(config.survey).rows_per_split()["test"]


@pytest.mark.long
def test_a_nan_loss_ends_the_run_without_a_restart(config, ray_cluster):
    """Ray Train would restart it from the checkpoint max_failures times."""
    wild = replace(config, name="wild", optim=replace(config.optim, learning_rate=1e30, final_learning_rate=1e30))
    with pytest.raises(InputError, match=r"run wild: .*nan at step 4.*optim\.learning_rate"):
        pretrain(wild)
    run = MlflowClient(tracking_uri(wild.home_path)).search_runs(["1"])[0]
    assert run.info.status == "FAILED"


def test_an_unreachable_mlflow_server_does_not_hide_the_error_of_a_run(config, monkeypatch):
    def ends(*_):
        raise InputError("the reason")

    def down(*_):
        raise MlflowException("connection refused")

    monkeypatch.setattr(run_module, "start_ray", lambda: None)
    monkeypatch.setattr(run_module, "_train", ends)
    monkeypatch.setattr(Tracker, "finish", down)
    with pytest.raises(InputError, match="the reason"):
        pretrain(config)


class LocalHost:
    """A loop's host without Ray Train; see `mmae.training.loop.Host`."""

    device, rank, world = torch.device("cpu"), 0, 1

    def __init__(self, survey: Survey, config: RunConfig):
        self.survey, self.config = survey, config
        self.curves: list[dict[str, float]] = []
        self.validations: list[dict[str, float]] = []

    def validation(self):
        return read_split(self.survey, "val", self.config.stream)

    def stepped(self):
        pass

    def logged(self, curves, step):
        self.curves.append(curves)

    def validated(self, metrics, predictions, model):
        self.validations.append(metrics)

    def pictured(self, batch, model):
        pass


def train_locally(survey: Survey, config: RunConfig) -> LocalHost:
    """A training of four steps with two validations, without Ray Train."""
    config = replace(config, optim=OptimConfig(steps=4, warmup_steps=1), validation=replace(config.validation, every=2))
    require_usable(config, survey)
    host = LocalHost(survey, config)
    Loop(config, survey, create_state(config, input_spec(survey.spec), host.device), host).run()
    assert len(host.validations) == 2 and all(np.isfinite(v["val/selection"]) for v in host.validations)
    return host


@pytest.mark.long
def test_galaxiesml_file_trains(quick_run, ray_cluster, tmp_path):
    """The file layout of the published data set, from HDF5 to validation."""
    file = write_galaxiesml(tmp_path / "gml.hdf5", n=80)
    survey = build_job(BuildConfig(tmp_path / "gml", ("galaxiesml",), galaxiesml=file))
    host = train_locally(survey, replace(quick_run, stream=StreamConfig(batch_size=16, shuffle_rows=32)))
    assert host.validations[-1]["val/both/n"] == survey.rows_per_split()["val"]
    assert all(np.isfinite(list(curves.values())).all() for curves in host.curves)


@pytest.mark.long
@needs_shared
def test_real_coadds_and_cutouts_train(quick_run, ray_cluster, tmp_path):
    """Images without spectra and spectra without images, from files of the archives."""
    coadds = sorted(SHARED_GALAXIES.glob("desi_coadd-*.fits"))
    labels = [*SHARED_GALAXIES.glob("desi_redrock-*.fits"), *SHARED_GALAXIES.glob("desi_qso_cat_*.fits.gz")]
    survey = build_job(
        BuildConfig(
            tmp_path / "real",
            ("desi", "hsc"),
            desi=tuple(coadds),
            redshifts=tuple(labels),
            hsc=(SHARED_GALAXIES / "hsc_cosmos_grizy_64_shared.npz",),
        )
    )
    total = {key: sum(c[key] for c in survey.counts.values()) for key in ("images", "spectra", "paired", "redshifts")}
    assert total == {"images": 39, "spectra": 6, "paired": 0, "redshifts": 6}
    host = train_locally(survey, replace(quick_run, stream=StreamConfig(batch_size=8, shuffle_rows=16)))
    for name in ("train/image", "train/spectrum"):
        assert all(np.isfinite(curves[name]) for curves in host.curves)
    assert max(curves["train/spectrum"] for curves in host.curves) > 0


def test_another_configuration_under_the_same_name_is_refused(config, ray_cluster):
    run_dir = config.home_path / "runs" / config.name
    (run_dir / "checkpoint_1").mkdir(parents=True)
    (run_dir / "config.yaml").write_text(to_yaml(config))
    with pytest.raises(InputError, match="optim.steps was 10, is 99"):
        pretrain(replace(config, optim=replace(config.optim, steps=99)))
    assert from_yaml(run_dir / "config.yaml", RunConfig) == config


@pytest.mark.parametrize("changed", ["content_hash", "split_hash"])
def test_resuming_on_a_changed_survey_is_refused(config, ray_cluster, changed):
    """The same ids and splits with other pixels, and other splits."""
    survey, run_dir = open_survey(config.survey), config.home_path / "runs" / config.name
    hashes = {"content_hash": survey.content_hash, "split_hash": split_hash(survey)}
    (run_dir / "checkpoint_1").mkdir(parents=True)
    (run_dir / SURVEY_HASHES).write_text(json.dumps(hashes | {changed: "0123"}))
    with pytest.raises(InputError, match=changed):
        pretrain(config)
    assert {file.name for file in run_dir.iterdir()} == {SURVEY_HASHES, "checkpoint_1"}


def test_scoring_leaves_the_checkpoint_unchanged(first_run):
    """So that Ray can retry the task."""
    config, result = first_run

    def contents() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in result.checkpoint.iterdir()}

    before = contents()
    scores = score_run(open_survey(config.survey), result.checkpoint, config.stream)
    assert contents() == before
    assert scores.recalibration and scores.table.keys() == result.table.keys()
    assert load_flags(result.checkpoint).low == scores.flags.low


def test_wrong_surveys_and_models_are_refused_before_workers_start(config, ray_cluster, tmp_path, monkeypatch):
    def started(*_, **__):
        raise AssertionError("Ray Train was started")

    monkeypatch.setattr(run_module, "InterruptibleTrainer", started)
    rows = open_survey(config.survey).rows_per_split()["train"]
    with pytest.raises(InputError, match="nowhere"):
        pretrain(replace(config, survey=str(tmp_path / "nowhere")))
    for name, stream, match in (
        ("batch", StreamConfig(batch_size=4096), f"{rows} .*--stream.batch-size 128"),
        ("lanes", StreamConfig(batch_size=4096, lanes=4096), f"{rows} .*stream.lanes 4096"),
        ("drawn", StreamConfig(batch_size=rows, unlabelled=0.0), "--stream.batch-size"),
        ("drawn-lanes", StreamConfig(batch_size=rows, lanes=rows, unlabelled=0.0), f"stream.lanes {rows}"),
    ):
        with pytest.raises(InputError, match=match):
            pretrain(replace(config, name=name, stream=stream))
    with pytest.raises(InputError, match="image.patch is 128"):
        pretrain(replace(config, name="patch", model=with_fields(config.model, {"image_patch": 128})))
    assert not (tmp_path / "runs").exists()  # a refused run writes no file
