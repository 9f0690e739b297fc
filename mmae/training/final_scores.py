"""The scores of a finished run, from its best checkpoint and the test split.

Shape suffix: N galaxies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
import torch

from mmae.core.ray_setup import set_data_context
from mmae.core.worker_progress import WorkerBar
from mmae.inference.checkpoint import load_model, save_weights
from mmae.inference.fit_flags import fit_flags
from mmae.inference.flags import FlagLimits
from mmae.inference.predict import Predictions, Reconstructions, predict_redshifts, reconstruct
from mmae.inference.readings import Readings, read_modes
from mmae.inference.recalibrate import recalibrate
from mmae.loader.config import StreamConfig
from mmae.loader.stream import batches, read_split
from mmae.metrics.redshift import BASELINE, ScoreTable, score_table
from mmae.model.batch import Batch
from mmae.survey.schema import SurveySpec
from mmae.survey.store import Survey
from mmae.training.baselines import training_redshifts

RECALIBRATION = "recalibration."  # prefix of the names of the model's recalibration tensors
FLAG_GALAXIES = 2000  # of a split, to which the limits of the warning flags are fitted


@dataclass
class RunScores:
    """Test scores of a run.

    Attributes:
        recalibration: by name, the model's tensors that recalibration on the validation split has changed.
        flags: limits of the warning flags; None for a model without p(z).
    """

    table: ScoreTable
    predictions: Predictions
    examples: Reconstructions | None
    spec: SurveySpec
    recalibration: dict[str, np.ndarray]
    flags: FlagLimits | None


def score_run(survey: Survey, checkpoint: Path, stream: StreamConfig) -> RunScores:
    """Recalibrate p(z) and fit the warning flags without the test split, then predict the test split once and score it.

    Runs as a Ray task, on a GPU if Ray has assigned one. It writes no file, so that Ray can retry it.
    """
    set_data_context()
    device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
    model, config = load_model(checkpoint, device)
    rows = survey.rows_per_split()
    n_read = min(config.score.recalibration, rows["val"]) + rows["test"]
    n_read += sum(min(FLAG_GALAXIES, rows[split]) for split in ("train", "val"))
    bar = WorkerBar(total=n_read, desc="scores", unit="galaxy")

    def read(split: str, note: str) -> Callable[[], Iterator[Batch]]:
        data = read_split(survey, split, stream)
        return lambda: bar.counted(batches(data, survey.spec, stream.batch_size), note)

    recalibrate(model, read("val", "recalibration of p(z)")(), device, config.score.recalibration)
    z_train = training_redshifts(survey)

    def readings(split: str) -> dict[str, Readings]:
        first = itertools.islice(read(split, "warning flags")(), math.ceil(FLAG_GALAXIES / stream.batch_size))
        return read_modes(model, first, device, survey.spec.wavelength_L())[0]

    flags = fit_flags(readings("train"), readings("val"), z_train)
    test_batches = read("test", "test split")
    predictions = predict_redshifts(model, test_batches(), device)
    examples = reconstruct(
        model,
        test_batches(),
        device,
        examples=config.score.examples,
        mask_ratio=config.score.mask_ratio,
        seed=config.seed,
    )
    table = _scores(predictions, z_train, config.seed, config.score.bootstrap)
    bar.close()
    recalibration = {name: t.cpu().numpy() for name, t in model.state_dict().items() if name.startswith(RECALIBRATION)}
    return RunScores(table, predictions, examples, survey.spec, recalibration, flags)


def keep_recalibration(checkpoint: Path, recalibration: dict[str, np.ndarray]) -> None:
    """Write the recalibration of p(z) into the checkpoint's weights, atomically."""
    model, _ = load_model(checkpoint)
    model.load_state_dict({name: torch.tensor(a) for name, a in recalibration.items()}, strict=False)
    save_weights(checkpoint, model)


def _scores(predictions: Predictions, z_train: np.ndarray, seed: int, resamples: int) -> ScoreTable:
    """Scores of every input mode on the galaxies that have its modalities; the baseline on those with an image."""
    table: ScoreTable = {}
    for mode, z_pred_N in predictions.predicted.items():
        usable_N = predictions.usable[mode].astype(bool)
        rows = score_table(
            predictions.redshift_N[usable_N],
            {mode: z_pred_N[usable_N]},
            z_train=z_train,
            seed=seed,
            resamples=resamples,
        )
        table[mode] = rows[mode]
        table.setdefault(BASELINE, rows[BASELINE])
    return table


def predictions_table(predictions: Predictions) -> pa.Table:
    """One row per galaxy; null where a galaxy lacks the modalities of an input mode."""
    columns: dict[str, pa.Array] = {
        "object_id": pa.array(predictions.object_id),
        "redshift": pa.array(predictions.redshift_N, from_pandas=True),
    }
    for mode, z_N in predictions.predicted.items():
        absent_N = ~predictions.usable[mode].astype(bool)
        columns[f"z_{mode.replace(' ', '_')}"] = pa.array(z_N, mask=absent_N)
        for side in ("low", "high"):
            columns[f"z_{mode.replace(' ', '_')}_{side}"] = pa.array(
                getattr(predictions, side)[mode], mask=absent_N, from_pandas=True
            )
    return pa.table(columns)
