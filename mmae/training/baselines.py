"""What a run has to beat: simple baselines on its validation galaxies, drawn into the learning curves.

Legend of suffixes: mmae/model/batch.py.
"""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import torch

from mmae.inference.filling import symmetric
from mmae.metrics.redshift import is_redshift, median_baseline, normalised_residual, sigma_nmad
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.mmae import MMAE
from mmae.model.view import Visible
from mmae.survey.store import Survey

MEDIAN_SCATTER = "baseline/sigma_nmad/training_median"
"""Scatter if the median redshift of the training split is predicted for all."""
FILLED_LOSS = "baseline/image_loss/symmetry_and_profile"
"""The loss `val/image_loss` if hidden pixels are filled in by symmetry and the radial profile of the visible ones."""


def training_redshifts(survey: Survey) -> np.ndarray:
    """All known redshifts of the training split."""
    column = pq.read_table(survey.files("train"), columns=["redshift"], partitioning=None)["redshift"]
    return column.drop_null().to_numpy()


def median_scatter(survey: Survey, redshift_N: np.ndarray) -> float:
    """sigma_NMAD of galaxies (NaN: redshift unknown) for which the training median is predicted; NaN without any."""
    z_train, z_N = training_redshifts(survey), redshift_N[is_redshift(redshift_N)]
    if not (len(z_train) and len(z_N)):
        return np.nan
    return sigma_nmad(normalised_residual(z_N, median_baseline(z_train, z_N)))


def filled_loss(model: Model, batch: Batch, visible: Visible) -> float | None:
    """The image loss of the same hidden pixels, filled in by symmetry and the radial profile.

    An image of which nothing is visible is filled with the mean of the survey. None if the loss of the model is not a
    mean squared error of the hidden pixels in normalised units.
    """
    if not isinstance(model, MMAE) or "image" not in model.modalities:
        return None
    modality, visible_BT = model.modalities["image"], visible["image"]
    device = modality.band_noise.device
    prepared = modality.prepare(batch.to(device), visible_BT)
    value_BCHW, observed_BCHW = prepared.image_BCHW.cpu(), prepared.observed_BCHW.cpu()
    visible_B1HW = modality.visible_samples(visible_BT.cpu())[:, None]
    present_B111 = batch.present["image"].cpu()[:, None, None, None]
    shown_BCHW = observed_BCHW & visible_B1HW & present_B111
    filled_BCHW = torch.from_numpy(symmetric(value_BCHW.numpy(), shown_BCHW.numpy()))
    hidden_BCHW = observed_BCHW & ~visible_B1HW & present_B111
    error_BCHW = (filled_BCHW - value_BCHW).square() * hidden_BCHW
    return (error_BCHW.sum() / hidden_BCHW.sum().clamp(min=1)).item()
