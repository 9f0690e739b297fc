"""Fluxes measured on an image and on a spectrum: what both of one galaxy have in common.

The light in the aperture of a fibre is measured in both, in other bands. No model is involved, so that galaxies with
and without spectrum are comparable; embeddings of an image and of a spectrum are not (docs/catalogue.md).

Shape suffixes: B galaxies, C bands, H and W pixels, L wavelengths, A apertures, I wavelength intervals.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mmae.model.batch import Batch

RADII = (0.75, 1.5)
"""Of the apertures in arcsec. The first is that of a DESI fibre (DESI Collaboration 2022, AJ 164, 207)."""
INTERVALS = 16  # equal parts of the wavelength range
LEAST_OBSERVED = 0.5  # fraction of the pixels of an aperture that must be observed


def batch_fluxes(batch: Batch, modalities: Collection[str], pixel_scale: float) -> dict[str, np.ndarray]:
    """Fluxes (B, F) of the images and of the spectra of a batch; NaN where a galaxy has none.

    Args:
        modalities: in which fluxes are measured, of image and spectrum.
        pixel_scale: arcsec.
    """
    found = {}
    if "image" in modalities:
        found["image"] = aperture_fluxes(batch.image_BCHW.cpu().numpy(), pixel_scale)
    if "spectrum" in modalities:
        found["spectrum"] = interval_fluxes(batch.flux_BL.cpu().numpy(), batch.ivar_BL.cpu().numpy())
    for name, flux_BF in found.items():
        flux_BF[~batch.present[name].cpu().numpy()] = np.nan
    return found


def aperture_fluxes(image_BCHW: np.ndarray, pixel_scale: float) -> np.ndarray:
    """Flux within RADII of the centre, (B, A x C), aperture by aperture, in counts.

    Missing pixels are taken as the mean of the others; NaN where fewer than LEAST_OBSERVED of them were observed.

    Args:
        image_BCHW: counts; NaN: not observed.
        pixel_scale: arcsec.
    """
    size = image_BCHW.shape[-1]
    middle = (size - 1) / 2
    y_HW, x_HW = np.indices((size, size)) - middle
    radius_HW = np.hypot(y_HW, x_HW) * pixel_scale
    fluxes = []
    for radius in RADII:
        inside_BCX = image_BCHW[..., radius_HW < max(radius, pixel_scale)]
        observed_BC = np.isfinite(inside_BCX).sum(-1)
        enough_BC = observed_BC >= LEAST_OBSERVED * inside_BCX.shape[-1]
        total_BC = np.nansum(inside_BCX, -1, dtype=np.float64) * inside_BCX.shape[-1]
        fluxes.append(np.where(enough_BC, total_BC / np.maximum(observed_BC, 1), np.nan))
    return np.concatenate(fluxes, 1).astype(np.float32)


def interval_fluxes(flux_BL: np.ndarray, ivar_BL: np.ndarray) -> np.ndarray:
    """Mean flux in INTERVALS equal parts of the wavelength range, (B, I), weighted by ivar, in the unit of the flux.

    NaN where an interval has no data.

    Args:
        ivar_BL: inverse variance; 0: no data.
    """
    starts_I = np.linspace(0, flux_BL.shape[1], INTERVALS, endpoint=False).astype(int)
    weight_BI = np.add.reduceat(ivar_BL.astype(np.float64), starts_I, axis=1)
    total_BI = np.add.reduceat(ivar_BL.astype(np.float64) * flux_BL, starts_I, axis=1)
    return np.divide(total_BI, weight_BI, out=np.full(total_BI.shape, np.nan), where=weight_BI > 0).astype(np.float32)
