"""The test scores of a finished run, in its folder: a finished run that is started again prints them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmae.core.errors import InputError
from mmae.core.files import write_whole
from mmae.metrics.bootstrap import Score
from mmae.metrics.redshift import ScoreTable

SCORES = "scores.json"
FORMAT = "mmae-scores-1"


@dataclass(frozen=True)
class StoredScores:
    """Test scores, and the MLflow run that has them too."""

    run_id: str
    table: ScoreTable


def write_scores(run_dir: Path, run_id: str, table: ScoreTable, **more: Any) -> None:
    """Write the scores of a run, the last file of a finished run.

    Args:
        more: additional plain values.
    """
    scores = {
        mode: {selection: {name: _plain(score) for name, score in of.items()} for selection, of in selections.items()}
        for mode, selections in table.items()
    }
    values = {"format": FORMAT, "mlflow_run": run_id, **more, "scores": scores}
    write_whole(run_dir / SCORES, json.dumps(values, indent=1, allow_nan=False) + "\n")


def read_scores(run_dir: Path) -> StoredScores | None:
    """The scores of a finished run; None if the run is not finished.

    Raises:
        InputError: the file is damaged.
    """
    file = run_dir / SCORES
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text())
        table: ScoreTable = {
            mode: {
                selection: {name: _score(**score) for name, score in of.items()} for selection, of in selections.items()
            }
            for mode, selections in values["scores"].items()
        }
        return StoredScores(values["mlflow_run"], table)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: damaged ({error}). Remove it to score the run again.") from error


def _plain(score: Score) -> dict[str, float | int | None]:
    """JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(score).items()}


def _score(value: float | None, low: float | None, high: float | None, n: int) -> Score:
    value, low, high = (math.nan if x is None else x for x in (value, low, high))
    return Score(value, low, high, n)
