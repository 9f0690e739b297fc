"""A bundle of a small, untrained model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from mmae.bundle.write import write_bundle
from mmae.config import RunConfig
from mmae.core.settings import to_yaml
from mmae.inference.checkpoint import CONFIG, STATE, save_weights
from mmae.inference.fit_flags import save_flags
from mmae.inference.flags import FlagLimits, ModeLimits
from mmae.inference.readings import redshift_edges
from mmae.metrics.bootstrap import Score
from mmae.metrics.redshift import ALL_Z, ScoreTable
from mmae.model.batch import Batch
from mmae.model.build import Model, build_model
from mmae.model.recalibration import Recalibration
from tests.model.galaxies import SPEC, TINY, warmed_up

BANDED = dataclasses.replace(SPEC, bands=("g", "r"), pixel_scale=0.2, zero_point=27.0)
GRID = {"bands": ("g", "r"), "pixel_scale": 0.2, "zero_point": 27.0}
WAVELENGTH_L = SPEC.wavelength_start + SPEC.wavelength_step * np.arange(SPEC.n_wavelengths)
SCORES: ScoreTable = {
    "image": {
        ALL_Z: {
            "sigma_nmad": Score(0.0123, 0.0113, 0.0133, 20),
            "bias": Score(0.001, 0.0, 0.002, 20),
            "outlier_rate": Score(0.05, 0.02, 0.12, 20),
        }
    }
}


def write_checkpoint(folder: Path, config=TINY, spec=BANDED) -> Model:
    """A checkpoint as a run writes it, of a model with random weights and an uneven recalibration."""
    folder.mkdir(parents=True, exist_ok=True)
    model: Model = build_model(config, spec)
    if config is TINY:
        model.load_state_dict(warmed_up().state_dict())
    recalibration = getattr(model, "recalibration", None)
    if isinstance(recalibration, Recalibration):
        levels_R = torch.linspace(0, 1, recalibration.knot_SWR.shape[-1])
        recalibration.knot_SWR.copy_(levels_R**1.5)
        recalibration.spread_S.fill_(0.01)
    save_weights(folder, model)
    (folder / CONFIG).write_text(to_yaml(RunConfig(model=config)))
    state = {"step": 5, "metrics": {}, "input_spec": dataclasses.asdict(spec)}
    (folder / STATE).write_text(json.dumps(state))
    return model.eval()


def strict_limits(model: Model) -> FlagLimits:
    """All redshifts are outside of the training range, and all galaxies with an image alone unlike the training set."""
    edges_K1 = redshift_edges(model)
    assert edges_K1 is not None
    n_bins, width = len(edges_K1) - 1, model.config.width
    alone = ModeLimits(np.zeros(width, np.float32), np.eye(width), 0.0)
    return FlagLimits(np.full(n_bins, 1 / n_bins), -2.0, -1.0, {"image": alone})


def tiny_bundle(folder: Path, limits: FlagLimits | None = None) -> Path:
    write_checkpoint(folder / "best")
    if limits is not None:
        save_flags(limits, folder / "best")
    return write_bundle(folder / "best", folder / "bundle", "tiny", SCORES)


def arrays(batch: Batch) -> dict[str, np.ndarray]:
    """Images, spectra and ivar of a batch as a user gives them: NaN where a modality is absent."""
    has_image_N, has_spectrum_N = (batch.present[name].numpy() for name in ("image", "spectrum"))
    return {
        "images": np.where(has_image_N[:, None, None, None], batch.image_BCHW.numpy(), np.nan),
        "spectra": np.where(has_spectrum_N[:, None], batch.flux_BL.numpy(), np.nan),
        "ivar": np.where(has_spectrum_N[:, None], batch.ivar_BL.numpy(), np.nan),
    }
