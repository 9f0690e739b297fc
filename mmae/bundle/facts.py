"""What a model was trained on, from its checkpoint and scores, as plain values for config.json and the model card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.config import RunConfig
from mmae.core.settings import from_yaml
from mmae.inference.checkpoint import CONFIG, read_state
from mmae.metrics.redshift import BASELINE, ScoreTable
from mmae.survey.leaks import SURVEY_KEYS, TRAINING_ROWS

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Facts:
    """Where a model comes from.

    Attributes:
        name: of the run.
        recipe: from which it was trained.
        step: of the checkpoint.
        dataset: name of the survey's folder.
        content_hash, split_hash: of the survey; empty if not known.
        galaxies: by split, those of the training; empty if not known.
        scores: of the test split, by input mode and selection; empty if the run was not scored.
    """

    name: str
    recipe: str
    step: int
    dataset: str
    content_hash: str
    split_hash: str
    galaxies: dict[str, int]
    scores: ScoreTable

    def plain(self) -> dict[str, Any]:
        """For config.json, which has no NaN."""
        scores = {
            mode: {
                selection: {name: [_finite(s.value), _finite(s.low), _finite(s.high), s.n] for name, s in of.items()}
                for selection, of in selections.items()
            }
            for mode, selections in self.scores.items()
            if mode != BASELINE
        }
        return {
            "run": self.name,
            "recipe": self.recipe,
            "step": self.step,
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "split_hash": self.split_hash,
            "galaxies": self.galaxies,
            "test_scores": {"columns": ["value", "low", "high", "galaxies"], **scores},
        }


def read_facts(checkpoint: Path, name: str, scores: ScoreTable | None) -> Facts:
    """The facts of a checkpoint.

    Args:
        name: of the run.
        scores: of its test split; None: not scored.

    Raises:
        InputError: the checkpoint is damaged.
    """
    config = from_yaml(checkpoint / CONFIG, RunConfig)
    rows = checkpoint / TRAINING_ROWS
    source: Mapping[bytes, bytes] = {}
    galaxies: dict[str, int] = {}
    if rows.exists():
        with pq.ParquetFile(rows) as parquet:
            source = parquet.schema_arrow.metadata or {}
            counts = pc.value_counts(parquet.read(["split"])["split"])
        galaxies = {entry["values"]: entry["counts"] for entry in counts.to_pylist()}
    survey, content_hash, split_hash = (source.get(key, b"").decode() for key in SURVEY_KEYS)
    return Facts(
        name=name,
        recipe=config.recipe,
        step=read_state(checkpoint)["step"],
        dataset=Path(survey or config.survey).name or UNKNOWN,
        content_hash=content_hash,
        split_hash=split_hash,
        galaxies=galaxies,
        scores=scores or {},
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
