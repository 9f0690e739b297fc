"""The headline numbers of hidden pixels of a model, for comparisons of models: 75% hidden, image only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from mmae.evaluation.hidden import noise_floor
from mmae.evaluation.hidden.image_measures import Masked, join_measures
from mmae.evaluation.hidden.image_scores import as_numbers, join_samples, sample_of, score_hidden
from mmae.evaluation.hidden.parts import JUDGED, fill_with_model, observed_images, patch_side
from mmae.metrics.bootstrap import Score
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.survey.schema import SurveySpec


@torch.no_grad()
def headline(
    model: Model,
    batches: Iterable[Batch],
    device: torch.device,
    spec: SurveySpec,
    *,
    point_N: np.ndarray,
    seed: int,
    resamples: int,
) -> dict[str, Score]:
    """Scores by name, as in `HiddenScores`; empty for a model that does not reconstruct images.

    The noise floor is that of the published noise.

    Args:
        point_N: point sources among the galaxies, in the order of the batches.
        seed: of the masks and of the bootstrap.
    """
    model.eval()
    samples, filled, start = [], [], 0
    for number, batch in enumerate(batches):
        point_B = point_N[start : start + len(batch)]
        start += len(batch)
        estimate = fill_with_model(model, batch, device, JUDGED, seed + number)
        if "image" not in estimate.values:
            return {}
        observed = observed_images(batch)
        masked = Masked(observed, estimate.visible_BHW.cpu().numpy(), patch_side(model, spec), spec)
        samples.append(sample_of(masked, None, noise_floor.published(observed, spec), point_B))
        filled.append(masked.measure(estimate.image_BCHW.cpu().numpy(), samples[-1].elongated_N()))
    scores = score_hidden(join_measures(filled), join_samples(samples), spec=spec, seed=seed, resamples=resamples)
    return as_numbers(scores)
