"""Pictures of a validation in MLflow: reconstructions of the same galaxies at every validation, and learning curves."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmae.config import RunConfig
from mmae.core.errors import one_line
from mmae.inference.predict import reconstruct
from mmae.inference.reconstruction_figure import reconstructions_figure
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.plots.training import loss_figure
from mmae.survey.schema import SurveySpec
from mmae.tracking.runs import Tracker
from mmae.training.baselines import FILLED_LOSS, MEDIAN_SCATTER

RECONSTRUCTIONS = "reconstructions"  # key of the images of all steps
LOSS = "figures/loss.png"
CURVES = (
    "train/loss",
    "train/image",
    "train/spectrum",
    "train/redshift",
    "val/loss",
    "val/image_loss",
    FILLED_LOSS,
    "val/image/sigma_nmad",
    "val/spectrum/sigma_nmad",
    "val/both/sigma_nmad",
    MEDIAN_SCATTER,
)


def log_pictures(
    tracker: Tracker, batch: Batch, model: Model, device: torch.device, config: RunConfig, spec: SurveySpec, step: int
) -> None:
    """Log the pictures of one validation. An error is printed: no picture may end a training.

    Args:
        batch: the first validation galaxies, the same at every validation.
    """
    try:
        chosen = example_galaxies(batch, config.score.examples)
        examples = reconstruct(
            model, [chosen], device, examples=len(chosen), mask_ratio=config.score.mask_ratio, seed=config.seed
        )
        if examples is not None and examples.object_id:
            title = f"step {step}, {config.score.mask_ratio:.0%} of image and spectrum hidden"
            tracker.image(reconstructions_figure(examples, spec, title), RECONSTRUCTIONS, step)
        log_curves(tracker)
    except Exception as error:
        print(f"no pictures of step {step}: {type(error).__name__}: {one_line(str(error))}", flush=True)


def log_curves(tracker: Tracker, curves: Tracker | None = None) -> None:
    """Log the learning curves so far, with the levels of the baselines; replaces those logged before.

    Args:
        curves: the run with the losses, if not `tracker`.
    """
    curves = curves or tracker
    tracker.figure(loss_figure({name: curves.history(name) for name in CURVES}), LOSS)


def example_galaxies(batch: Batch, most: int) -> Batch:
    """The first galaxies of the batch, those with most modalities before others."""
    n_present_B = torch.stack(list(batch.present.values())).sum(0)
    row_N = n_present_B.argsort(descending=True, stable=True)[:most]
    return replace(batch.take(row_N), object_id=[batch.object_id[row] for row in row_N.tolist()])
