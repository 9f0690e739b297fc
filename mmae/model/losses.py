"""Losses. Legend of suffixes: batch.py; P samples of a patch.

Reconstruction losses are means over the targets: samples of masked tokens.
"""

from __future__ import annotations

from torch import Tensor

from mmae.model.precision import at_least_float32
from mmae.model.workers import n_workers, sum_over_workers


def mean_over_targets(loss_sum: Tensor, n_targets: Tensor) -> Tensor:
    """This worker's part of the mean loss of the targets of all workers; 0, not NaN, when there are none.

    Multiplied by the number of workers, so that the mean over the workers, which is taken of gradients, is the mean
    over the targets.

    Args:
        n_targets: or the sum of their weights.
    """
    n_targets = sum_over_workers(n_targets)
    return n_workers() * loss_sum / n_targets.where(n_targets > 0, 1)


def masked_mse(
    prediction_BTP: Tensor, target_BTP: Tensor, is_target_BT: Tensor, observed_BTP: Tensor | None = None
) -> Tensor:
    """Mean squared error over the samples of target tokens.

    Args:
        observed_BTP: samples (bool) that were observed; None: all.
    """
    error_BTP = (at_least_float32(prediction_BTP) - target_BTP).square()
    if observed_BTP is None:
        return mean_over_targets((error_BTP.mean(-1) * is_target_BT).sum(), is_target_BT.sum())
    counted_BTP = observed_BTP & is_target_BT[..., None]
    return mean_over_targets((error_BTP * counted_BTP).sum(), counted_BTP.sum())


def masked_chi_square(
    prediction_BTP: Tensor, target_BTP: Tensor, ivar_BTP: Tensor, is_target_BT: Tensor, error_floor: float
) -> Tensor:
    """Chi-square per good pixel of target tokens, with sigma^2 = 1/ivar + error_floor^2.

    The floor (in units of the spectrum's rms) keeps a bright spectrum, with formal errors far below the model's
    accuracy, from dominating the batch.
    """
    weight_BTP = ivar_BTP / (1 + error_floor**2 * ivar_BTP) * is_target_BT[..., None]
    n_good = ((ivar_BTP > 0) & is_target_BT[..., None]).sum()
    return mean_over_targets((weight_BTP * (at_least_float32(prediction_BTP) - target_BTP).square()).sum(), n_good)


def paper_redshift_loss(z_pred_B: Tensor, z_spec_B: Tensor, known_B: Tensor, gamma: float = 0.15) -> Tensor:
    """1 - 1 / (1 + (dz / gamma)^2), dz = (z_pred - z_spec) / (1 + z_spec) (arXiv:2510.22527)."""
    dz_B = (at_least_float32(z_pred_B) - z_spec_B) / (1 + z_spec_B)
    loss_B = 1 - 1 / (1 + (dz_B / gamma).square())
    return mean_over_targets((loss_B * known_B).sum(), known_B.sum())
