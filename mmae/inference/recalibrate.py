"""Fit the recalibration of p(z) (mmae/model/recalibration.py) on galaxies outside the training set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from mmae.inference.predict import has_modalities
from mmae.inference.readings import redshift_edges
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import fixed_visible, modes_of, shown_set
from mmae.model.recalibration import Recalibration


@torch.no_grad()
def recalibrate(model: Model, batches: Iterable[Batch], device: torch.device, seed: int, limit: int) -> None:
    """Fit the recalibration of the model in place, for each input mode, without masking.

    A previous fit is discarded. A model without p(z) is not changed.

    Args:
        seed: seed of the randomised PIT.
        limit: number of galaxies to use; 0: no recalibration.
    """
    edges_K1 = redshift_edges(model)
    if edges_K1 is None:
        return
    model.eval()
    recalibration = model.recalibration
    assert isinstance(recalibration, Recalibration)
    recalibration.forget()
    if not limit:
        return
    rng = np.random.default_rng(seed)
    parts: list[tuple[torch.Tensor, ...]] = []
    n_seen = 0
    for batch in batches:
        batch = batch.to(device)
        for shown in modes_of(model.n_tokens).values():
            visible = fixed_visible(batch, model.n_tokens, shown)
            usable_B = has_modalities(batch, shown) & batch.redshift_known_B
            (reading,) = model.read(batch, [visible])
            assert reading.probability_BK is not None  # the model has p(z)
            p_NK = reading.probability_BK[usable_B].cpu()
            bin_N, _ = RedshiftPDF(edges_K1, p_NK.numpy()).located(batch.redshift_B[usable_B].cpu().numpy())
            position_N = torch.from_numpy(rng.random(len(p_NK)))
            parts.append((shown_set(visible)[usable_B].cpu(), p_NK, torch.from_numpy(bin_N), position_N))
        n_seen += len(batch)
        if n_seen >= limit:
            break
    if parts:
        recalibration.learn(*(torch.cat(column) for column in zip(*parts, strict=True)))
