"""How badly a model reconstructs hidden parts of a galaxy, in units of noise: large values are unusual or damaged.

In each of VIEWS views one part in PARTS of the tokens is visible, as in training (masks of 0.6 to 0.9), and the others
are reconstructed. The views show different parts, so that every token is hidden in at least one. The parts are fixed:
the score of a galaxy does not depend on others of its batch.
Legend of suffixes: mmae/model/batch.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmae.model.batch import Batch, InputSpec
from mmae.model.build import Model
from mmae.model.masking import Visible

VIEWS, PARTS = 2, 4
SEED = 0  # of the parts
ERROR_FLOOR = 0.1  # error of a reconstruction relative to the flux, as in SpectrumConfig.error_floor
SCORED = ("image", "spectrum")


@torch.no_grad()
def anomaly_scores(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Root mean square of (reconstructed - observed) / noise over hidden samples, (B,), of image and spectrum.

    The noise is the background noise of an image, or 1 / sqrt(ivar) of a spectrum, and in quadrature ERROR_FLOOR of
    the observed flux. NaN where a galaxy lacks the modality, or the model does not reconstruct it.
    """
    square = {name: torch.zeros(len(batch), device=batch.redshift_B.device) for name in SCORED}
    count = {name: torch.zeros_like(x_B) for name, x_B in square.items()}
    observed = _observed(batch, model.spec)
    for view in range(VIEWS):
        estimate = model.estimate(batch, _visible(batch, model.n_tokens, view))
        for name in SCORED:
            if name not in estimate.values:
                continue
            value, variance, good = observed[name]
            hidden = ~estimate.visible[name]
            counted = good & (hidden[:, None] if name == "image" else hidden)
            pull = ((estimate.values[name] - value).square() / variance).where(counted, 0.0)
            square[name] += pull.flatten(1).sum(1)
            count[name] += counted.flatten(1).sum(1)
    return {name: (square[name] / count[name]).sqrt() for name in SCORED}  # 0 / 0 is NaN


def _observed(batch: Batch, spec: InputSpec) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Value, variance and mask of observed samples of each modality."""
    image_BCHW, flux_BL, ivar_BL = batch.image_BCHW, batch.flux_BL, batch.ivar_BL
    noise_C = torch.tensor(spec.band_noise, device=image_BCHW.device)
    image_variance = noise_C[:, None, None].square() + (ERROR_FLOOR * image_BCHW).square()
    good_BCHW = image_BCHW.isfinite() & batch.present["image"][:, None, None, None]
    flux_variance = ivar_BL.clamp(min=torch.finfo(ivar_BL.dtype).tiny).reciprocal() + (ERROR_FLOOR * flux_BL).square()
    good_BL = (ivar_BL > 0) & batch.present["spectrum"][:, None]
    return {"image": (image_BCHW, image_variance, good_BCHW), "spectrum": (flux_BL, flux_variance, good_BL)}


def _visible(batch: Batch, n_tokens: Mapping[str, int], view: int) -> Visible:
    """One part of the tokens of every modality that a galaxy has; the same tokens for all galaxies."""
    generator = torch.Generator().manual_seed(SEED)
    visible: dict[str, Any] = {}
    for name, n in n_tokens.items():
        part_T = torch.randperm(n, generator=generator) % PARTS
        present_B = batch.present[name]
        visible[name] = (part_T == view).to(present_B.device) & present_B[:, None]
    return visible
