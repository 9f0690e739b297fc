"""Finds the stored evaluations of several runs on one survey and split."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mmae.core.errors import InputError
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.record import EVALUATIONS, FOLDER, RECORD, EvaluationRecord, read_record
from mmae.inference.find_run import FoundRun, find_run
from mmae.report.contents import Section
from mmae.report.read import read_sections
from mmae.survey.store import open_survey
from mmae.tracking.runs import tracking_uri


@dataclass(frozen=True)
class StoredEvaluation:
    """A finished evaluation.

    Attributes:
        name: of the run.
        folder: with the record, the report and the predictions.
    """

    name: str
    checkpoint: Path
    folder: Path
    record: EvaluationRecord
    sections: list[Section]


Records = dict[Path, EvaluationRecord]
"""Folder of an evaluation -> its record."""


def stored_evaluations(config: EvaluateConfig) -> list[StoredEvaluation]:
    """The evaluations of the runs of --compare on one survey and split.

    Raises:
        InputError: a run has no evaluation there, with the command that makes it; or all have several.
    """
    uri = tracking_uri(config.home_path)
    runs = {given: find_run(given, config.home_path, uri) for given in config.compare}
    names = Counter(run.name for run in runs.values())
    if len(names) < len(runs):
        raise InputError(
            f"compare: {names.most_common(1)[0][0]} is the name of two of these runs. Give different ones."
        )
    records = {given: _records(config, run) for given, run in runs.items()}
    content_hash = _survey_hash(config, records)
    found = []
    for given, run in runs.items():
        folder, record = next((f, r) for f, r in records[given].items() if r.content_hash == content_hash)
        found.append(StoredEvaluation(run.name, run.checkpoint, folder, record, read_sections(folder / FOLDER)))
    return found


def _records(config: EvaluateConfig, run: FoundRun) -> Records:
    """All evaluations of a run on the split, newest first: by checkpoint, or by MLflow run if the home was moved."""
    files = list((config.home_path / EVALUATIONS).glob(f"*/*/{RECORD}"))
    files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    found: Records = {}
    for file in files:
        record = read_record(file.parent)
        if record is None or record.split != config.split:
            continue
        same_run = run.run is not None and record.model_run == run.run.run_id
        if record.model == str(run.checkpoint) or same_run:
            found[file.parent] = record
    return found


def _survey_hash(config: EvaluateConfig, records: dict[str, Records]) -> str:
    """Content hash of the survey on which all runs were evaluated."""
    counts = Counter(h for of_run in records.values() for h in {record.content_hash for record in of_run.values()})
    surveys = {record.content_hash: record.survey for of_run in records.values() for record in of_run.values()}
    if config.survey:
        wanted = open_survey(config.survey).content_hash
        surveys[wanted] = config.survey
    else:
        common = [content_hash for content_hash, n in counts.items() if n == len(records)]
        if len(common) > 1:
            named = ", ".join(surveys[content_hash] for content_hash in common)
            raise InputError(f"compare: all runs were evaluated on several surveys ({named}). Choose one by --survey.")
        wanted = common[0] if common else next((content_hash for content_hash, _ in counts.most_common(1)), "")
    lacking = [run for run, of_run in records.items() if wanted not in {r.content_hash for r in of_run.values()}]
    if lacking or not wanted:
        commands = "; ".join(_command(config, run, surveys.get(wanted, "")) for run in lacking)
        where = f"on {surveys[wanted]}, split {config.split}" if wanted else f"on split {config.split}"
        raise InputError(f"compare: no evaluation {where} of {', '.join(lacking)}. Make it first: {commands}")
    return wanted


def _command(config: EvaluateConfig, run: str, survey: str) -> str:
    """The command that makes an evaluation which is missing."""
    options = {"--run": run, "--survey": survey, "--home": config.home}
    options["--split"] = "" if config.split == "test" else config.split
    return shlex.join(["python", "ray_jobs/evaluate.py", *(w for o, v in options.items() if v for w in (o, v))])
