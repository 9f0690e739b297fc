"""Images, spectra and magnitudes as numpy arrays to batches, with checks of their grids and units.

Legend of suffixes: mmae/model/batch.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from mmae.astro.observed import nan_where_unobserved
from mmae.core.errors import InputError
from mmae.model.batch import Batch, InputSpec
from mmae.model.modalities import MODALITIES

TOLERANCE = 1e-6  # relative, of the pixel scale and zero point
GRID_TOLERANCE = 0.01  # of a wavelength step


@dataclass(frozen=True)
class Arrays:
    """Checked arrays of N galaxies; None: not given."""

    n: int
    image_NCHW: np.ndarray | None
    flux_NL: np.ndarray | None
    ivar_NL: np.ndarray | None
    magnitude_NC: np.ndarray | None
    magnitude_error_NC: np.ndarray | None

    def batches(self, spec: InputSpec, size: int) -> Iterator[Batch]:
        for start in range(0, self.n, size):
            yield self._batch(spec, slice(start, start + size))

    def _batch(self, spec: InputSpec, rows: slice) -> Batch:
        B = len(range(*rows.indices(self.n)))
        values = {n: torch.zeros(B, *shape) for kind in MODALITIES.values() for n, shape in kind.shapes(spec).items()}
        present = {name: torch.zeros(B, dtype=torch.bool) for name in MODALITIES}
        if self.image_NCHW is not None:
            values["image"], present["image"] = _images(self.image_NCHW[rows])
        if self.flux_NL is not None and self.ivar_NL is not None:
            values["flux"], values["ivar"], present["spectrum"] = _spectra(self.flux_NL[rows], self.ivar_NL[rows])
        if self.magnitude_NC is not None:
            values["magnitudes"], present["magnitudes"] = _magnitudes(self.magnitude_NC[rows])
        if self.magnitude_error_NC is not None:
            values["magnitude_errors"], _ = _magnitudes(self.magnitude_error_NC[rows])
        unknown_B = torch.zeros(B, dtype=torch.bool)
        return Batch(values, present, torch.zeros(B), unknown_B, torch.ones(B), [str(i) for i in range(self.n)[rows]])


def checked_arrays(
    spec: InputSpec,
    modalities: Collection[str],
    images: ArrayLike | None,
    spectra: ArrayLike | None,
    *,
    bands: Sequence[str] | None,
    pixel_scale: float | None,
    zero_point: float | None,
    ivar: ArrayLike | None,
    wavelength: ArrayLike | None,
    magnitudes: ArrayLike | None = None,
    magnitude_errors: ArrayLike | None = None,
) -> Arrays:
    """Check arrays against the grids and units of a model.

    Args:
        modalities: that the model reads.

    Raises:
        InputError: one line with everything that does not fit.
    """
    image_NCHW, flux_NL, ivar_NL = _numbers("images", images), _numbers("spectra", spectra), _numbers("ivar", ivar)
    magnitude_NC, error_NC = _numbers("magnitudes", magnitudes), _numbers("magnitude_errors", magnitude_errors)
    _refuse(
        [
            f"the model reads {' and '.join(modalities)} only, not {name}"
            for name, given in (("image", image_NCHW), ("spectrum", flux_NL), ("magnitudes", magnitude_NC))
            if given is not None and name not in modalities
        ]
    )
    faults: list[str] = []
    if bands is None or tuple(bands) != spec.bands:
        if image_NCHW is not None or magnitude_NC is not None:
            faults.append(f"bands are {_listed(bands)}, expected {_listed(spec.bands)}")
    if image_NCHW is not None:
        faults += _image_faults(spec, image_NCHW, pixel_scale, zero_point)
    if flux_NL is not None or ivar_NL is not None:
        faults += _spectrum_faults(spec, flux_NL, ivar_NL, wavelength)
    if magnitude_NC is not None or error_NC is not None:
        faults += _magnitude_faults(spec, magnitude_NC, error_NC)
    counts = {len(x) for x in (image_NCHW, flux_NL, ivar_NL, magnitude_NC, error_NC) if x is not None}
    if not counts:
        faults.append(f"nothing that the model reads is given ({', '.join(modalities)})")
    elif len(counts) > 1:
        faults.append(f"the arrays are of {' and '.join(map(str, sorted(counts)))} galaxies")
    elif counts == {0}:
        faults.append("there are no galaxies")
    _refuse(faults)
    return Arrays(counts.pop(), image_NCHW, flux_NL, ivar_NL, magnitude_NC, error_NC)


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise InputError(f"the input does not fit the model: {'; '.join(faults)}.")


def _numbers(name: str, values: ArrayLike | None) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        _refuse([f"{name} has the type {array.dtype}, expected numbers"])
    return array


def _image_faults(
    spec: InputSpec, image_NCHW: np.ndarray, pixel_scale: float | None, zero_point: float | None
) -> list[str]:
    faults = []
    shape = (spec.n_bands, spec.image_size, spec.image_size)
    for name, value, expected in (
        ("pixel_scale", pixel_scale, spec.pixel_scale),
        ("zero_point", zero_point, spec.zero_point),
    ):
        if value is None or not np.isclose(value, expected, rtol=TOLERANCE, atol=0):
            faults.append(f"{name} is {_given(value)}, expected {expected:g}")
    if image_NCHW.ndim != 4 or image_NCHW.shape[1:] != shape:
        faults.append(f"images have shape {image_NCHW.shape}, expected (galaxies, {', '.join(map(str, shape))})")
    return faults


def _spectrum_faults(
    spec: InputSpec, flux_NL: np.ndarray | None, ivar_NL: np.ndarray | None, wavelength: ArrayLike | None
) -> list[str]:
    if flux_NL is None:
        return ["ivar is given without spectra"]
    faults = []
    start, step, L = spec.wavelength_start, spec.wavelength_step, spec.n_wavelengths
    grid = f"{L} samples at {start:g} + {step:g} i Angstrom"
    if wavelength is None:
        faults.append(f"wavelength is not given, expected {grid}")
    else:
        given_L = np.asarray(wavelength, np.float64)
        expected_L = start + step * np.arange(L)
        if given_L.shape != (L,):
            faults.append(f"wavelength has shape {given_L.shape}, expected {grid}")
        elif not np.allclose(given_L, expected_L, rtol=0, atol=GRID_TOLERANCE * step):
            faults.append(f"wavelength runs from {given_L[0]:g} to {given_L[-1]:g} Angstrom, expected {grid}")
    if flux_NL.ndim != 2 or flux_NL.shape[1:] != (L,):
        faults.append(f"spectra have shape {flux_NL.shape}, expected (galaxies, {L})")
    if ivar_NL is None:
        faults.append("ivar of the spectra is not given")
    elif ivar_NL.shape != flux_NL.shape:
        faults.append(f"ivar has shape {ivar_NL.shape}, expected that of the spectra")
    elif (ivar_NL < 0).any():
        faults.append("ivar is negative; 0 or NaN means no data")
    return faults


def _magnitude_faults(spec: InputSpec, magnitude_NC: np.ndarray | None, error_NC: np.ndarray | None) -> list[str]:
    if magnitude_NC is None:
        return ["magnitude_errors are given without magnitudes"]
    if magnitude_NC.ndim != 2 or magnitude_NC.shape[1] != spec.n_bands:
        return [f"magnitudes have shape {magnitude_NC.shape}, expected (galaxies, {spec.n_bands})"]
    if error_NC is not None and error_NC.shape != magnitude_NC.shape:
        return [f"magnitude_errors have shape {error_NC.shape}, expected that of the magnitudes"]
    return []


def _listed(names: Sequence[str] | None) -> str:
    return "not given" if names is None else ",".join(names)


def _given(value: float | None) -> str:
    return "not given" if value is None else f"{value:g}"


def _images(image_BCHW: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as float32, NaN where not observed, zero-filled where absent, and the mask of galaxies with an image."""
    image_BCHW = nan_where_unobserved(np.asarray(image_BCHW, np.float32))
    present_B = np.isfinite(image_BCHW).any((1, 2, 3))
    image_BCHW[~present_B] = 0
    return torch.from_numpy(image_BCHW), torch.from_numpy(present_B)


def _spectra(flux_BL: np.ndarray, ivar_BL: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Flux and ivar as float32, both 0 where there are no data, and the mask of galaxies with a spectrum."""
    flux_BL, ivar_BL = np.array(flux_BL, np.float32), np.array(ivar_BL, np.float32)
    good_BL = np.isfinite(flux_BL) & np.isfinite(ivar_BL) & (ivar_BL > 0)
    flux_BL[~good_BL] = 0
    ivar_BL[~good_BL] = 0
    return torch.from_numpy(flux_BL), torch.from_numpy(ivar_BL), torch.from_numpy(good_BL.any(1))


def _magnitudes(value_BC: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Magnitudes or their errors as float32, zero-filled where absent, and the mask of galaxies that have one."""
    value_BC = np.array(value_BC, np.float32)
    present_B = np.isfinite(value_BC).any(1)
    value_BC[~present_B] = 0
    return torch.from_numpy(value_BC), torch.from_numpy(present_B)
