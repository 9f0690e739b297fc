"""Measure on galaxies that a model was not trained on how its p(z) must be changed; see mmae/model/recalibration.py."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from mmae.inference.predict import can_see
from mmae.inference.readings import redshift_edges
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import fixed_visible, modes_of, shown_set


@torch.no_grad()
def recalibrate(model: Model, batches: Iterable[Batch], device: torch.device, seed: int, limit: int) -> None:
    """Change the model's recalibration in place, for every way of looking at a galaxy, nothing masked.

    What an earlier call has left is forgotten first; a model without p(z) is left alone.

    Args:
        seed: of the randomised PIT.
        limit: galaxies to look at; with 0 p(z) stays as the network learned it.
    """
    edges_K1 = redshift_edges(model)
    if edges_K1 is None:
        return
    model.eval()
    model.recalibration.forget()
    if not limit:
        return
    rng = np.random.default_rng(seed)
    parts: list[tuple[torch.Tensor, ...]] = []
    n_seen = 0
    for batch in batches:
        batch = batch.to(device)
        for shown in modes_of(model.n_tokens).values():
            visible = fixed_visible(batch, model.n_tokens, shown)
            usable_B = can_see(batch, shown) & batch.redshift_known_B
            (reading,) = model.read(batch, [visible])
            p_NK = reading.probability_BK[usable_B].cpu()
            bin_N, _ = RedshiftPDF(edges_K1, p_NK.numpy()).located(batch.redshift_B[usable_B].cpu().numpy())
            place_N = torch.from_numpy(rng.random(len(p_NK)))
            parts.append((shown_set(visible)[usable_B].cpu(), p_NK, torch.from_numpy(bin_N), place_N))
        n_seen += len(batch)
        if n_seen >= limit:
            break
    if parts:
        model.recalibration.learn(*(torch.cat(column) for column in zip(*parts, strict=True)))
