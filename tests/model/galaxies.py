"""Small random batches and small models for tests.

Shape suffixes as in mmae/model/batch.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmae.model.batch import Batch, InputSpec
from mmae.model.build import Model
from mmae.model.config import MMAEConfig, ModalitiesConfig, PaperConfig
from mmae.model.masking import Visible
from mmae.model.mmae import MMAE
from mmae.model.modalities import MODALITIES
from mmae.model.part_configs import ImageConfig, RedshiftConfig, SpectrumConfig

torch.set_num_threads(1)  # a second thread is slower for models this small

# 16 image tokens of 4 x 4 pixels; 50 samples are 6 full spectrum patches of 8 and a quarter of one.
SPEC = InputSpec(16, 50, (0.05, 0.1), (1.5, 1.8), (1.8, 1.9), 4000.0, 60.0)
TINY = MMAEConfig(
    modalities=ModalitiesConfig(image=ImageConfig(patch=4, whole_patch=8), spectrum=SpectrumConfig(patch=8)),
    width=16,
    depth=2,
    heads=2,
    decoder_width=16,
    redshift=RedshiftConfig(bins=24, refinement=4),
)


def tiny(**values: Any) -> MMAEConfig:
    """TINY with some values replaced; those of a modality as a dictionary under its name."""
    modalities = {
        name: dataclasses.replace(getattr(TINY.modalities, name), **values.pop(name))
        for name in MODALITIES
        if name in values
    }
    return dataclasses.replace(TINY, modalities=dataclasses.replace(TINY.modalities, **modalities), **values)


# 16 pooled samples, 8 spectrum tokens, and two samples after the last pool.
TINY_PAPER = PaperConfig(
    image_patch=4, spectrum_pool=3, spectrum_patch=2, width=16, depth=1, cross_depth=1, heads=2, hidden=(16, 16)
)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""Tolerance for batches of different size, which are summed in different order: float32 rounding errors of 6e-8 per
operation accumulate over sums of up to a few hundred terms and a dozen layers."""
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
            "magnitude_errors": torch.zeros(len(peak_NC), peak_NC.shape[1]),  # not known
        },
        {name: yes.clone() for name in MODALITIES},
        torch.tensor(rng.uniform(0.05, 3, n), dtype=torch.float32),
        yes.clone(),
        torch.ones(n),
        [f"galaxy-{i}" for i in range(n)],
    )


def copied(batch: Batch) -> Batch:
    """A deep copy of the batch."""
    return rows(batch, list(range(len(batch))))


def rows(batch: Batch, which: list[int]) -> Batch:
    """Copies of some galaxies of a batch."""
    selected = batch.map(lambda tensor: tensor[which].clone())
    return dataclasses.replace(selected, object_id=[batch.object_id[i] for i in which])


def without(batch: Batch, *, redshift: Sequence[int] = (), **modalities: Sequence[int]) -> Batch:
    """The batch with modalities of the given galaxies made absent, zero-filled as by the reader."""
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
    """All tokens of present modalities visible, or none."""
    return {name: (batch.present[name] & visible)[:, None].expand(-1, n).clone() for name, n in n_tokens.items()}


def masks(model: Model, n: int, seed: int = 0) -> Visible:
    """`random_masks` for the tokens of a model."""
    return random_masks(n, model.n_tokens, seed)


def visible_samples(visible: Visible) -> torch.Tensor:
    """Spectrum samples in visible tokens of a TINY model: (B, L)."""
    return visible["spectrum"].repeat_interleave(TINY.modalities.spectrum.patch, 1)[:, : SPEC.n_wavelengths]


def warmed_up(config: MMAEConfig = TINY) -> MMAE:
    """A model in evaluation mode, with statistics of batch normalisation and random output layers."""
    torch.manual_seed(4)
    model = MMAE(config, SPEC)
    for seed in range(30):  # batch normalisation as after some training
        batch = random_batch(8, seed=seed)
        model(batch, masks(model, 8, seed), all_tokens(batch, model.n_tokens, True))
    for modality in model.modalities.values():  # initialised to zero
        last = modality.to_image if modality.name == "image" else modality.to_patch[-1]
        torch.nn.init.normal_(last.weight, std=0.2)
    return model.eval()


def estimates(model: Model, batch: Batch, visible: Visible) -> list[torch.Tensor]:
    """Redshifts, percentiles and reconstructions of a batch."""
    e = model.estimate(batch, visible)
    return [e.redshift_B, e.redshift_low_B, e.redshift_high_B, e.image_BCHW, e.flux_BL]
