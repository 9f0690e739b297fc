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
def recalibrate(model: Model, batches: Iterable[Batch], device: torch.device, limit: int) -> None:
    """Fit the recalibration of the model in place, for each input mode, without masking.

    A previous fit is discarded. A model without p(z) is not changed.

    Args:
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
    parts: list[tuple[torch.Tensor, ...]] = []
    n_seen = 0
    for batch in batches:
        batch = batch.to(device)
        for shown in modes_of(model.n_tokens).values():
            visible = fixed_visible(batch, model.n_tokens, shown)
            usable_B = has_modalities(batch, shown) & batch.redshift_known_B
            (reading,) = model.read(batch, [visible])
            assert reading.probability_BK is not None and reading.logits_BZ is not None  # the model has p(z)
            p_NK, p_NZ = reading.probability_BK[usable_B].cpu(), reading.logits_BZ[usable_B].cpu().softmax(-1)
            located = RedshiftPDF(edges_K1, p_NK.numpy()).located(batch.redshift_B[usable_B].cpu().numpy())
            bin_N, x_N = (torch.from_numpy(column) for column in located)
            set_N = shown_set(visible)[usable_B].cpu()
            parts.append((set_N, p_NK, bin_N, position_in_bin(p_NZ, bin_N, x_N, edges_K1)))
        n_seen += len(batch)
        if n_seen >= limit:
            break
    if parts:
        recalibration.learn(*(torch.cat(column) for column in zip(*parts, strict=True)))


def position_in_bin(p_NZ: torch.Tensor, bin_N: torch.Tensor, x_N: torch.Tensor, edges_K1: np.ndarray) -> torch.Tensor:
    """The fraction of the probability of its redshift bin that lies below each true redshift, (N,), float64.

    From the fine bins, so that the position of a line within a redshift bin counts; linear in ln(1+z) within a fine
    bin, and within a redshift bin without probability.

    Args:
        p_NZ: probability of the fine bins.
        bin_N: redshift bin of the true redshift.
        x_N: ln(1+z).
        edges_K1: edges of the redshift bins, which have equal widths.
    """
    n_bins = len(edges_K1) - 1
    p_NR = p_NZ.unflatten(-1, (n_bins, -1))[torch.arange(len(bin_N)), bin_N].double().numpy()
    mass_N1 = p_NR.sum(1, keepdims=True)
    p_NR = np.divide(p_NR, mass_N1, out=np.full_like(p_NR, 1 / p_NR.shape[1]), where=mass_N1 > 0)
    within_bin = RedshiftPDF(np.linspace(0, edges_K1[1] - edges_K1[0], p_NR.shape[1] + 1), p_NR)
    return torch.from_numpy(within_bin.cdf(np.expm1(x_N.numpy() - edges_K1[bin_N.numpy()])))
