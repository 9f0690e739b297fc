"""Evaluation of a model on a survey, of a file of predictions, or of several runs: scores, report, MLflow."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import ray
from mlflow.exceptions import MlflowException
from rich.console import Console

from mmae.config import RunConfig, modalities_of
from mmae.core.errors import InputError
from mmae.core.files import file_hash, folder_lock
from mmae.core.interrupts import end_status
from mmae.core.provenance import provenance_line, provenance_tags
from mmae.core.ray_setup import start_ray
from mmae.core.settings import from_yaml
from mmae.core.terminal import terminal
from mmae.evaluation.catalogue import Catalogue, read_catalogue, true_widths
from mmae.evaluation.comparison.job import compare
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.hidden.parts import TRAINING_GALAXIES
from mmae.evaluation.photoz.predictions_file import read_predictions
from mmae.evaluation.photoz.section import file_section
from mmae.evaluation.photoz.table_baselines import predict_from_magnitudes
from mmae.evaluation.record import EVALUATIONS, FOLDER, HASH_DIGITS, evaluation_record, require_same_model, save_record
from mmae.evaluation.sections import Results, SplitReadings, make_sections
from mmae.evaluation.summary import findings
from mmae.evaluation.tables import write_predictions
from mmae.evaluation.tasks import SplitInput, hidden_task, readings_task, reconstructions_task, surface_task
from mmae.inference.checkpoint import CONFIG, read_state
from mmae.inference.find_run import FoundRun, find_run
from mmae.inference.flags import load_flags
from mmae.ingest.embedded import embedded_folder
from mmae.loader.collate import input_spec
from mmae.loader.config import StreamConfig
from mmae.loader.stream import read_split
from mmae.report.contents import Section, numbers, tally
from mmae.report.save import log_page, save_report
from mmae.report.terminal import print_section, print_verdicts
from mmae.survey.leaks import LeakCheck, require_no_leak
from mmae.survey.schema import GRIDS, IMAGE_GRID, WAVELENGTH_GRID
from mmae.survey.store import MANIFEST, Survey, open_survey
from mmae.tracking.runs import Tracker, open_named_run, tracking_uri

BUSY = "another process is writing this evaluation. Wait until it ends, or use another --name."
EXPERIMENT = "evaluations"
# Number of tables printed per section; of other sections only the verdicts are printed. The page has everything.
PRINTED_TABLES = {"redshift": 2}
PRINTED_FILE_TABLES = 3
# Prefixes of the numbers logged to MLflow as metrics; report.json has all of them (thousands).
LOGGED = (
    "redshift/low_z/",
    "redshift/all_z/",
    "redshift/baselines/",
    "surface/verdict/",
    "pz/scores/",
    "pz/calibration/",
    "hidden/targets/",
    "flags/",
    "spectra/targets/",
)
CONCURRENT_TASKS = 4
RECONSTRUCTING = ("mmae", "paper")  # kinds of models
TRAIN = "train"


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    page: Path
    sections: list[Section]
    tracker: Tracker | None


def evaluate(config: EvaluateConfig, console: Console | None = None) -> Evaluation:
    """Score a model on a survey, or a file of predictions, or compare stored evaluations, and write the page.

    Raises:
        InputError: the model, the survey or the file cannot be used, the split contains galaxies that the model was
            trained on, or a run that is compared has no evaluation.
    """
    console = console or terminal()
    if config.compare:
        return Evaluation(*compare(config, console))
    return _evaluate_file(config, console) if config.predictions else _evaluate_model(config, console)


def _evaluate_file(config: EvaluateConfig, console: Console) -> Evaluation:
    assert config.predictions is not None
    file = read_predictions(config.predictions, config.truth_column, config.predicted_column)
    section = file_section(file, seed=config.seed, resamples=config.bootstrap)
    data = file_hash(config.predictions)
    folder = config.home_path / EVALUATIONS / (config.name or config.predictions.stem) / data[:HASH_DIGITS]
    with folder_lock(folder, BUSY):
        page = save_report(
            folder / FOLDER,
            f"Redshifts of {config.predictions.name}",
            {"file": str(config.predictions), "provenance": provenance_line(seed=config.seed, data=data)},
            [section],
            "mmae-evaluation-1",
        )
    print_section(replace(section, tables=section.tables[:PRINTED_FILE_TABLES]), console)
    console.print(f"\npage    {page}", highlight=False, soft_wrap=True)
    return Evaluation(page, [section], None)


def _evaluate_model(config: EvaluateConfig, console: Console) -> Evaluation:
    trained = find_run(config.run, config.home_path, tracking_uri(config.home_path))
    survey = _survey(config, trained)
    run = from_yaml(trained.checkpoint / CONFIG, RunConfig)
    _require_same_grid(trained, survey, modalities_of(run.model))
    checked = require_no_leak(trained.checkpoint, survey, config.split, allow_unknown=config.allow_unknown_training)
    console.print(
        f"model   {trained.checkpoint}\nsurvey  {survey.path}, split {config.split}", highlight=False, soft_wrap=True
    )
    baseline = _baseline_model(config, survey)
    record = evaluation_record(trained, survey, config.split)
    folder = config.home_path / EVALUATIONS / (config.name or trained.name) / record.folder_name
    require_same_model(folder, record)
    start_ray()
    with folder_lock(folder, BUSY):
        require_same_model(folder, record)
        results = run_tasks(config, trained.checkpoint, survey, console, baseline)
        sections = make_sections(results, config)
        summary = findings(numbers(sections))
        save_record(folder, record, seed=config.seed)
        page = save_report(
            folder / FOLDER,
            f"{trained.name} on survey {survey.path.name}, split {config.split}",
            _facts(config, trained, survey, checked),
            sections,
            "mmae-evaluation-1",
            summary,
        )
        files = write_predictions(results, folder)
        tracker = _log(config, trained, survey, folder, sections, page, files)
    for section in sections:
        if section.name in PRINTED_TABLES:
            print_section(replace(section, tables=section.tables[: PRINTED_TABLES[section.name]]), console)
    print_verdicts(sections, console)
    judged, met = tally(sections)
    console.print(f"\n{met} of {judged} targets are met.", style="bold", highlight=False)
    console.print(f"page    {page}\ntables  {folder}\nMLflow  {tracker.how_to_look}", highlight=False, soft_wrap=True)
    return Evaluation(page, sections, tracker)


def _survey(config: EvaluateConfig, trained: FoundRun) -> Survey:
    if config.survey:
        return open_survey(config.survey)
    run = from_yaml(trained.checkpoint / CONFIG, RunConfig)
    homes = (run.home_path, config.home_path)  # the second after the home was moved
    folders = [Path(run.survey)] if run.survey else [embedded_folder(home, run.simulated_galaxies) for home in homes]
    for folder in folders:
        if (folder / MANIFEST).exists():
            return open_survey(folder)
    raise InputError(f"{trained.checkpoint}: its survey {folders[0]} does not exist. Give --survey FOLDER.")


def _baseline_model(config: EvaluateConfig, survey: Survey) -> Path | None:
    """The checkpoint of --baseline-run; None without one.

    Raises:
        InputError: it does not reconstruct images, has another grid, or was trained on galaxies of the split.
    """
    if not config.baseline_run:
        return None
    found = find_run(config.baseline_run, config.home_path, tracking_uri(config.home_path))
    model = from_yaml(found.checkpoint / CONFIG, RunConfig).model
    if model.kind not in RECONSTRUCTING or "image" not in modalities_of(model):
        raise InputError(f"baseline_run: {config.baseline_run} does not reconstruct images. Give a run that does.")
    _require_same_grid(found, survey, modalities_of(model))
    require_no_leak(found.checkpoint, survey, config.split, allow_unknown=config.allow_unknown_training)
    return found.checkpoint


def _require_same_grid(trained: FoundRun, survey: Survey, modalities: Collection[str] = ("image", "spectrum")) -> None:
    """A model reads one image size, one order of bands, one photometric system and one wavelength grid.

    The normalisation constants (band noise, mean and standard deviation) are those of the model and may differ, and so
    may what belongs to other modalities than those of the model.

    Raises:
        InputError: naming every property that differs.
    """
    was, now = read_state(trained.checkpoint)["input_spec"], dataclasses.asdict(input_spec(survey.spec))
    grid = (*IMAGE_GRID, *WAVELENGTH_GRID)
    compared = {field for modality in modalities for field in GRIDS.get(modality, grid)}
    differ = []
    for name in (field for field in grid if field in compared):
        before = tuple(was[name]) if isinstance(was.get(name), list) else was.get(name)
        if before and before != now[name]:  # mmae 0.1 did not record bands, pixel scale and zero point
            differ.append(f"{name} is {now[name]}, the model was trained with {before}")
    if "bands" in compared and len(was["band_noise"]) != len(now["band_noise"]):
        differ.append(f"it has {len(now['band_noise'])} bands, the model was trained with {len(was['band_noise'])}")
    if differ:
        raise InputError(f"{survey.path}: {'; '.join(differ)}. Evaluate {trained.name} on a survey of the same grid.")


def run_tasks(
    config: EvaluateConfig, checkpoint: Path, survey: Survey, console: Console, baseline: Path | None = None
) -> Results:
    """Start the Ray tasks concurrently and wait for the readings; the other results are futures.

    Args:
        baseline: checkpoint of another model that fills in hidden pixels.
    """
    gpu = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    threads = max(1, int(ray.cluster_resources().get("CPU", 1)) // CONCURRENT_TASKS)

    def read(split: str, galaxies: int) -> tuple[SplitInput, Catalogue]:
        data = read_split(survey, split, StreamConfig())
        if galaxies:
            data = data.limit(galaxies).materialize()
        object_id_N = np.array([row["object_id"] for row in data.select_columns(["object_id"]).take_all()], object)
        split_input = SplitInput(checkpoint, data, object_id_N, survey.spec, config.batch_size, threads)
        return split_input, read_catalogue(survey, split).in_order(object_id_N)

    def start(task, *arguments):
        # num_cpus=0: on a small machine Ray Data needs the CPUs to read the split.
        return ray.remote(task).options(num_cpus=0, num_gpus=gpu).remote(*arguments)

    test, catalogue = read(config.split, config.galaxies)
    n_surface = min(config.surface_galaxies or len(catalogue), len(catalogue))
    reconstructions = start(reconstructions_task, test, config, catalogue, true_widths(survey, catalogue.object_id_N))
    surface = start(surface_task, test.first(n_surface), config)
    splits = {config.split: (test, catalogue)}
    if survey.rows_per_split().get(TRAIN, 0):
        splits[TRAIN] = read(TRAIN, config.training_galaxies)
    n_train = len(splits[TRAIN][1]) if TRAIN in splits else 0
    n_hidden = min(config.hidden_galaxies or len(catalogue), len(catalogue))
    hidden = start(
        hidden_task,
        test.first(n_hidden),
        splits[TRAIN][0].first(TRAINING_GALAXIES) if TRAIN in splits else None,
        baseline,
        config,
        catalogue.chosen(np.arange(n_hidden)),
        survey.provenance,
    )
    console.print(
        f"reading {len(catalogue):,} galaxies and {n_train:,} training galaxies; {n_surface:,} galaxies with "
        f"{len(config.surface_ratios) ** 2 - 1} pairs of masks",
        highlight=False,
    )
    baselines = _start_baselines(survey, catalogue, config.seed)
    outputs = ray.get(start(readings_task, [split_input for split_input, _ in splits.values()]))
    readings = {
        split: SplitReadings(split_catalogue, *output)
        for (split, (_, split_catalogue)), output in zip(splits.items(), outputs, strict=True)
    }
    return Results(
        survey.spec,
        readings[config.split],
        readings.get(TRAIN),
        catalogue.redshift_N[:n_surface],
        surface.future(),
        reconstructions.future(),
        hidden.future(),
        ray.get(baselines) if baselines else {},
        load_flags(checkpoint),
    )


def _start_baselines(survey: Survey, catalogue: Catalogue, seed: int) -> ray.ObjectRef | None:
    """Start the training of the baselines on all training galaxies of the survey; None if it has none."""
    if not survey.rows_per_split()[TRAIN]:
        return None
    train = read_catalogue(survey, TRAIN)
    task = ray.remote(predict_from_magnitudes).options(num_cpus=0)
    return task.remote(train.mag_NC, train.redshift_N, catalogue.mag_NC, seed=seed)


def _facts(config: EvaluateConfig, trained: FoundRun, survey: Survey, checked: LeakCheck) -> dict[str, str]:
    run = from_yaml(trained.checkpoint / CONFIG, RunConfig)
    return {
        "model": f"{trained.checkpoint}, recipe {run.recipe}",
        "survey": f"{survey.path}, content hash {survey.content_hash}",
        "split": f"{config.split}, {survey.rows_per_split()[config.split]:,} galaxies",
        "leaks": checked.text,
        "errors": f"68% intervals from {config.bootstrap} bootstrap resamples, seed {config.seed}",
        "provenance": provenance_line(seed=config.seed, data=survey.content_hash),
    }


def _log(
    config: EvaluateConfig,
    trained: FoundRun,
    survey: Survey,
    folder: Path,
    sections: list[Section],
    page: Path,
    files: list[Path],
) -> Tracker:
    """Log to an MLflow run of this evaluation, a child of the model's run if there is one."""
    tracker, _ = open_named_run(
        tracking_uri(config.home_path),
        trained.run.experiment if trained.run else EXPERIMENT,
        f"{trained.name} on {survey.path.name}, {config.split}",
        folder,
        {"checkpoint": str(trained.checkpoint), "survey": str(survey.path), "split": config.split},
        trained.run,
    )
    tracker.tags(
        {"mmae.survey": str(survey.path), "mmae.survey_hash": survey.content_hash, "mmae.split": config.split}
        | provenance_tags(seed=config.seed, data=survey.content_hash)
    )
    try:
        logged = {name: value for name, value in numbers(sections).items() if name.startswith(LOGGED)}
        tracker.metrics({f"{FOLDER}/{name}": value for name, value in logged.items()})
        log_page(tracker, page)
        for file in files:
            tracker.file(file, FOLDER)
    except BaseException as error:
        with contextlib.suppress(MlflowException):
            tracker.finish(end_status(error))
        raise
    tracker.finish()
    return tracker
