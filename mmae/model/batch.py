"""What the model eats: one batch of galaxies as tensors.

Shape suffixes of all tensor code in this project: B batch, C band, H and W image pixels,
L wavelength sample, T tokens, D width, K redshift bins, P samples in one patch, N galaxies.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class InputSpec:
    """What the model must know of the survey: sizes and image normalisation constants."""

    image_size: int
    n_wavelengths: int
    band_noise: tuple[float, ...]  # background sigma per band, counts / pixel
    arcsinh_mean: tuple[float, ...]  # of arcsinh(pixel / band_noise), per band
    arcsinh_std: tuple[float, ...]

    @property
    def n_bands(self) -> int:
        return len(self.band_noise)


@dataclass
class Batch:
    """A batch of galaxies. An absent modality is zero-filled and its `present` flag False."""

    image_BCHW: Tensor  # float32 counts
    image_present_B: Tensor  # bool
    flux_BL: Tensor  # float32, 1e-17 erg/s/cm2/A; 0 where ivar is 0
    ivar_BL: Tensor  # float32; 0 = bad pixel
    spectrum_present_B: Tensor  # bool
    redshift_B: Tensor  # float32; 0 where unknown
    redshift_known_B: Tensor  # bool
    object_id: list[str]

    def __len__(self) -> int:
        return len(self.object_id)

    def to(self, device: torch.device | str) -> Batch:
        def moved(value):
            return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

        return Batch(**{f.name: moved(getattr(self, f.name)) for f in dataclasses.fields(self)})
