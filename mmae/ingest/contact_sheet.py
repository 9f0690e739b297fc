"""The contact sheet of a survey: its first galaxies on one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mmae.plots.contact_sheet import MAX_IMAGES, MAX_SPECTRA, contact_sheet
from mmae.report.style import save_figure, short_name
from mmae.survey.store import Survey
from mmae.survey.tensors import decode_tensor

CONTACT_SHEET = "contact_sheet.png"
COLUMNS = ["object_id", "redshift", "image", "flux", "ivar"]


def save_contact_sheet(survey: Survey) -> Path | None:
    """Plot the first galaxies of the shards and save contact_sheet.png in the survey's folder.

    None for a survey without columns of images and spectra.
    """
    spec = survey.spec
    if not (spec.image_size and spec.n_wavelengths):
        return None
    image_dtype, spectrum_dtype = np.dtype(spec.image_dtype), np.dtype("float32")
    titles, images, fluxes, ivars, redshifts = [], [], [], [], []
    n_images = n_spectra = 0
    for shard in survey.shards:
        rows = pq.read_table(survey.path / shard.path, columns=COLUMNS, partitioning=None).slice(0, MAX_IMAGES)
        image_NX, has_image_N = decode_tensor(rows["image"], image_dtype)
        flux_NL, has_flux_N = decode_tensor(rows["flux"], spectrum_dtype)
        ivar_NL, has_ivar_N = decode_tensor(rows["ivar"], spectrum_dtype)
        for i, (name, z) in enumerate(zip(rows["object_id"].to_pylist(), rows["redshift"].to_pylist(), strict=True)):
            image, spectrum = bool(has_image_N[i]), bool(has_flux_N[i] and has_ivar_N[i])
            if not ((image and n_images < MAX_IMAGES) or (spectrum and n_spectra < MAX_SPECTRA)):
                continue
            n_images, n_spectra = n_images + image, n_spectra + spectrum
            titles.append(short_name(name) + ("" if z is None else f"\nz = {z:.3f}"))
            images.append(image_NX[i].reshape(spec.image_shape))
            fluxes.append(flux_NL[i])
            ivars.append(ivar_NL[i])
            redshifts.append(np.nan if z is None else z)
        if n_images >= MAX_IMAGES and n_spectra >= MAX_SPECTRA:
            break
    # Galaxies with an image first: the number of panels is limited.
    order = np.argsort([not image.any() for image in images], kind="stable")
    figure = contact_sheet(
        np.stack(images)[order],
        (spec.wavelength_L(), np.stack(fluxes)[order], np.stack(ivars)[order]),
        [titles[i] for i in order],
        spec,
        redshift_N=np.array(redshifts)[order],
    )
    return save_figure(figure, survey.path / CONTACT_SHEET)
