"""Small random batches and small models, for every test that needs a model.

Shape suffixes as in mmae/model/batch.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from mmae.model.batch import Batch, InputSpec
from mmae.model.build import Model
from mmae.model.masking import Visible
from mmae.model.mmae import MMAEConfig
from mmae.model.modalities import MODALITIES, ModalitiesConfig
from mmae.model.modalities.image import ImageConfig
from mmae.model.modalities.spectrum import SpectrumConfig
from mmae.model.paper import PaperConfig
from mmae.model.redshift import RedshiftConfig

torch.set_num_threads(1)  # models this small only wait for a second thread

# 16 image tokens of 4 x 4 pixels; 50 samples are 6 full spectrum patches and a quarter of one.
SPEC = InputSpec(16, 50, (0.05, 0.1), (1.5, 1.8), (1.8, 1.9), 4000.0, 60.0)
TINY = MMAEConfig(
    modalities=ModalitiesConfig(image=ImageConfig(patch=4), spectrum=SpectrumConfig(patch=8)),
    width=16,
    depth=2,
    heads=2,
    decoder_width=16,
    redshift=RedshiftConfig(bins=24, refinement=4),
)


def tiny(**values: Any) -> MMAEConfig:
    """TINY with other values; those of a modality as a dictionary under its name."""
    modalities = {
        name: dataclasses.replace(getattr(TINY.modalities, name), **values.pop(name))
        for name in MODALITIES
        if name in values
    }
    return dataclasses.replace(TINY, modalities=dataclasses.replace(TINY.modalities, **modalities), **values)


# 16 pooled samples, 8 spectrum tokens, and two samples beyond the last pool.
TINY_PAPER = PaperConfig(
    image_patch=4, spectrum_pool=3, spectrum_patch=2, width=16, depth=1, cross_depth=1, heads=2, hidden=(16, 16)
)
# The grid of GalaxiesML-Spectra: 5 bands of 64 x 64 pixels, 7781 samples.
FULL_SPEC = InputSpec(
    64,
    7781,
    (0.0212, 0.0352, 0.0369, 0.0688, 0.1367),
    (1.6004, 1.8535, 2.0918, 1.8240, 1.5074),
    (1.8264, 1.8293, 1.9493, 1.8944, 1.7909),
    3600.0,
    0.8,
)


def random_batch(n: int, spec: InputSpec = SPEC, seed: int = 0) -> Batch:
    """Complete galaxies: a round image, a continuum with noise, every tenth pixel bad, a redshift."""
    rng = np.random.default_rng(seed)
    y_HW, x_HW = np.mgrid[: spec.image_size, : spec.image_size] - (spec.image_size - 1) / 2
    width_N = rng.uniform(2, 4, (n, 1, 1, 1))
    peak_NC = rng.uniform(1, 5, (n, spec.n_bands, 1, 1))
    image = peak_NC * np.exp(-(x_HW**2 + y_HW**2) / (2 * width_N**2))
    image += rng.normal(0, 1, image.shape) * np.array(spec.band_noise)[:, None, None]
    flux = rng.uniform(0.5, 3, (n, 1)) + rng.normal(0, 0.5, (n, spec.n_wavelengths))
    ivar = rng.uniform(1, 6, flux.shape) * (rng.random(flux.shape) > 0.1)
    yes = torch.ones(n, dtype=torch.bool)
    return Batch(
        {
            "image": torch.tensor(image, dtype=torch.float32),
            "flux": torch.tensor(flux * (ivar > 0), dtype=torch.float32),
            "ivar": torch.tensor(ivar, dtype=torch.float32),
            "magnitudes": torch.tensor(23.0 - 2.5 * np.log10(peak_NC[..., 0, 0]), dtype=torch.float32),
        },
        {name: yes.clone() for name in MODALITIES},
        torch.tensor(rng.uniform(0.05, 3, n), dtype=torch.float32),
        yes.clone(),
        [f"galaxy-{i}" for i in range(n)],
    )


def copied(batch: Batch) -> Batch:
    """Another batch of the same galaxies that shares no memory with the first."""
    return rows(batch, list(range(len(batch))))


def rows(batch: Batch, which: list[int]) -> Batch:
    """Some galaxies of a batch."""
    chosen = batch.map(lambda tensor: tensor[which].clone())
    return dataclasses.replace(chosen, object_id=[batch.object_id[i] for i in which])


def without(batch: Batch, *, redshift: list[int] = (), **modalities: list[int]) -> Batch:
    """The batch with some measurements of some galaxies taken away, zero-filled as the reader does."""
    batch = copied(batch)
    for tensor in (batch.redshift_B, batch.redshift_known_B):
        tensor[list(redshift)] = 0
    for name, which in modalities.items():
        for tensor in (batch.present[name], *(batch.values[value] for value in MODALITIES[name].shapes(SPEC))):
            tensor[list(which)] = 0
    return batch


def random_masks(n: int, n_tokens: dict[str, int], seed: int = 0) -> Visible:
    """Half of the tokens of each modality visible, a different number for every galaxy."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(n, tokens, generator=generator) < 0.5 for name, tokens in n_tokens.items()}


def all_tokens(batch: Batch, n_tokens: dict[str, int], visible: bool) -> Visible:
    """Everything that was measured is visible, or nothing."""
    return {name: (batch.present[name] & visible)[:, None].expand(-1, n).clone() for name, n in n_tokens.items()}


def everything(model: Model, batch: Batch, visible: Visible) -> list[torch.Tensor]:
    """All that a model says of a batch."""
    e = model.estimate(batch, visible)
    return [e.redshift_B, e.redshift_low_B, e.redshift_high_B, e.image_BCHW, e.flux_BL]
