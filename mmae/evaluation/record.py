"""One evaluation is one record: a model, a survey and a split have a folder and an MLflow run of their own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mmae.core.errors import InputError
from mmae.core.files import write_whole
from mmae.core.provenance import provenance
from mmae.inference.find_run import FoundRun
from mmae.survey.store import Survey

EVALUATIONS, FOLDER = "evaluations", "evaluation"  # in the home folder; the report in the folder of a record
RECORD = "evaluation.json"
HASH_DIGITS = 8  # of a content hash, in the name of a folder


@dataclass(frozen=True)
class EvaluationRecord:
    """What was evaluated.

    Attributes:
        model: checkpoint folder.
        model_run: MLflow run of the model; empty if it has none.
    """

    model: str
    model_run: str
    survey: str
    content_hash: str
    split: str

    @property
    def folder_name(self) -> str:
        """The name of the evaluation's folder, different for every survey and split."""
        return f"{Path(self.survey).name}-{self.split}-{self.content_hash[:HASH_DIGITS]}"


def evaluation_record(trained: FoundRun, survey: Survey, split: str) -> EvaluationRecord:
    run_id = trained.run.run_id if trained.run else ""
    return EvaluationRecord(str(trained.checkpoint), run_id, str(survey.path), survey.content_hash, split)


def save_record(folder: Path, record: EvaluationRecord, *, seed: int) -> None:
    values = asdict(record) | {"provenance": provenance(seed=seed, data=record.content_hash)}
    write_whole(folder / RECORD, json.dumps(values, indent=1) + "\n")


def read_record(folder: Path) -> EvaluationRecord | None:
    """The record of an evaluation; None if the folder has none that can be read."""
    try:
        values = json.loads((folder / RECORD).read_text())
        return EvaluationRecord(**{field.name: values[field.name] for field in fields(EvaluationRecord)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def require_same_model(folder: Path, record: EvaluationRecord) -> None:
    """Refuse to replace the evaluation of another model of the same name.

    Raises:
        InputError: the folder has one.
    """
    before = read_record(folder)
    if before is not None and before.model != record.model and Path(before.model).exists():
        raise InputError(
            f"{folder}: has the evaluation of another model of this name, {before.model}. Give this one another --name."
        )
