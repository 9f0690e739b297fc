"""The folder of a training run: what an earlier start has left there, and whether the run may continue with it.

    config.yaml        configuration, of the last start until there is a checkpoint
    survey.json        hashes of the survey
    checkpoint_*/      the newest and the best checkpoint, written by Ray Train at every validation
    best/              the best checkpoint, written when the training has ended
    predictions.parquet, scores.json   predictions and scores of the test split, written last
    lock               held by the process that runs it

Until the first checkpoint the folder claims nothing: a start that failed may be repeated with other options.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from mmae.config import RunConfig
from mmae.core.command_line import command
from mmae.core.errors import InputError
from mmae.core.settings import changed_fields, flat, from_yaml, require_unchanged, to_yaml
from mmae.inference.checkpoint import BEST, CONFIG, WEIGHTS, read_state
from mmae.survey.columns import split_hash
from mmae.survey.store import Survey

MAY_CHANGE = ("compute.", "experiment", "home")
"""Configuration fields that may differ when a run is resumed."""
SURVEY_HASHES = "survey.json"
SPLIT_HASH = "split_hash.txt"  # in its place in runs of mmae 0.1: the hash of the splits only
CHECKPOINTS = "checkpoint_*/"
ENDED = "ended.txt"  # the reason why restarting the workers would not help
SELECTION = "val/selection"  # the metric that selects the best checkpoint; lower is better


def is_trained(run_dir: Path) -> bool:
    """Whether the training has ended, so that only the scores may be missing."""
    return (run_dir / BEST / WEIGHTS).exists()


def has_checkpoint(run_dir: Path) -> bool:
    return is_trained(run_dir) or any(run_dir.glob(CHECKPOINTS))


def saved_lanes(run_dir: Path) -> int:
    """The lanes of a run that continues, on any number of workers; 0 if it starts."""
    saved = run_dir / CONFIG
    return from_yaml(saved, RunConfig).stream.lanes if has_checkpoint(run_dir) and saved.exists() else 0


def require_same_run(config: RunConfig, run_dir: Path) -> None:
    """Refuse to continue a run with another configuration.

    Raises:
        InputError: names the fields that differ.
    """
    if has_checkpoint(run_dir):
        require_unchanged(run_dir / CONFIG, config, f"run {config.name}", MAY_CHANGE)


def require_same_survey(survey: Survey, run_dir: Path) -> None:
    """Refuse to continue a run on a changed survey.

    With other splits it could be tested on galaxies that it was trained on; with other data under the same ids
    its first and last steps would be trained on different data.

    Raises:
        InputError: names what differs.
    """
    if not has_checkpoint(run_dir):
        return
    now = _survey_hashes(survey)
    if (run_dir / SURVEY_HASHES).exists():
        before = json.loads((run_dir / SURVEY_HASHES).read_text())
    elif (run_dir / SPLIT_HASH).exists():
        before = {"split_hash": (run_dir / SPLIT_HASH).read_text().strip()}
    else:
        return
    changed = [name for name in now if name in before and before[name] != now[name]]
    if changed:
        what = "other galaxies or other splits" if "split_hash" in changed else "other images, spectra or redshifts"
        raise InputError(
            f"run {run_dir.name} was started when {survey.path} had {what} ({', '.join(changed)} differs). "
            f"Use another --name, or restore the survey."
        )


def was_started_otherwise(config: RunConfig, run_dir: Path) -> bool:
    """Whether an earlier start, which left no checkpoint, had another configuration."""
    saved = run_dir / CONFIG
    if has_checkpoint(run_dir) or not saved.exists():
        return False
    try:
        before = from_yaml(saved, RunConfig)
    except InputError:
        return True
    return bool(changed_fields(flat(before), flat(config)))


def save_start(config: RunConfig, survey: Survey, run_dir: Path) -> None:
    """Write configuration and hashes of the survey, when the training can start."""
    (run_dir / SURVEY_HASHES).write_text(json.dumps(_survey_hashes(survey), indent=1) + "\n")
    (run_dir / CONFIG).write_text(to_yaml(config))


def interrupted_line(config: RunConfig, run_dir: Path) -> str:
    """What an interrupted run keeps, and the command that continues it."""
    options = ["--config", str(run_dir / CONFIG)]
    if not config.home and os.environ.get("MMAE_HOME"):  # it may not be set where the command is run
        options += ["--home", str(config.home_path)]
    run = f"interrupted: run {run_dir.name}"
    if not (run_dir / CONFIG).exists() or was_started_otherwise(config, run_dir):
        return f"{run} had not started training; nothing is kept. Run the same command again."
    if is_trained(run_dir):
        kept = "is trained, only its scores are missing"
    elif step := _newest_step(run_dir):
        kept = f"keeps its checkpoint of step {step}/{config.optim.steps}"
    else:
        kept = "has no checkpoint yet and starts again"
    return f"{run} {kept}. Continue with: {command('pretrain')} {shlex.join(options)}"


def _newest_step(run_dir: Path) -> int:
    """The step of the newest checkpoint; 0 if there is none."""
    for folder in sorted(run_dir.glob(CHECKPOINTS), reverse=True):
        try:
            return int(read_state(folder)["step"])
        except InputError:
            continue
    return 0


def _survey_hashes(survey: Survey) -> dict[str, str]:
    return {"content_hash": survey.content_hash, "split_hash": split_hash(survey)}
