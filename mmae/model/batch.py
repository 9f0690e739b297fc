"""The model's input: one batch of galaxies as tensors.

Shape suffixes of all tensor code in this project: B batch, C band, H and W image pixels,
L wavelength sample, T tokens, D width, K redshift bins, P samples in one patch, N galaxies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class InputSpec:
    """The part of a survey's specification that a model depends on: sizes, grids, units and normalisation constants.

    The last three are empty or 0 in checkpoints of mmae 0.1, which did not record them.
    """

    image_size: int  # pixels on a side
    n_wavelengths: int
    band_noise: tuple[float, ...]  # background sigma per band, counts / pixel
    arcsinh_mean: tuple[float, ...]  # of arcsinh(pixel / band_noise), per band
    arcsinh_std: tuple[float, ...]
    wavelength_start: float  # Angstrom, vacuum
    wavelength_step: float  # Angstrom
    bands: tuple[str, ...] = ()  # names, in order
    pixel_scale: float = 0.0  # arcsec / pixel
    zero_point: float = 0.0  # AB magnitude of one count

    @property
    def n_bands(self) -> int:
        return len(self.band_noise)


@dataclass
class Batch:
    """A batch of galaxies. A missing modality is zero-filled and its `present` flag is False."""

    values: dict[str, Tensor]  # float32, names and shapes as the modalities declare them
    present: dict[str, Tensor]  # by modality: (B,) bool
    redshift_B: Tensor  # float32; 0 where unknown
    redshift_known_B: Tensor  # bool
    weight_B: Tensor  # float32, 1 / how many times an epoch has the galaxy
    object_id: list[str]

    def __len__(self) -> int:
        return len(self.object_id)

    @property
    def image_BCHW(self) -> Tensor:
        """Counts."""
        return self.values["image"]

    @property
    def flux_BL(self) -> Tensor:
        """1e-17 erg/s/cm2/A; 0 where ivar is 0."""
        return self.values["flux"]

    @property
    def ivar_BL(self) -> Tensor:
        """Inverse variance of the flux; 0 = bad pixel."""
        return self.values["ivar"]

    def take(self, row_N: Tensor) -> Batch:
        """Some galaxies of the batch, without their identifiers, which are not on the device of the rows."""
        return replace(self.map(lambda tensor: tensor[row_N]), object_id=[""] * len(row_N))

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to every tensor."""
        return Batch(
            {name: function(value) for name, value in self.values.items()},
            {name: function(value) for name, value in self.present.items()},
            function(self.redshift_B),
            function(self.redshift_known_B),
            function(self.weight_B),
            self.object_id,
        )

    def to(self, device: torch.device | str) -> Batch:
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor on a device; from page-locked memory, as other copies to a GPU wait for its work."""
    if device.type == "cuda" and tensor.device.type == "cpu" and torch.cuda.is_available():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
