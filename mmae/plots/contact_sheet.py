"""Contact sheet of a survey: small images and spectra in one figure.

Shape suffixes: N galaxies, C bands, H and W pixels, L wavelength samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mmae.core.errors import InputError
from mmae.plots.image import draw_rgb, is_absent, rgb_bands, white_level
from mmae.plots.spectrum import FLUX_UNIT, SMOOTHING, draw_spectrum
from mmae.report.style import say_absent, style
from mmae.survey.schema import SurveySpec

MAX_IMAGES, IMAGE_COLUMNS = 24, 8
MAX_SPECTRA, SPECTRUM_COLUMNS = 6, 2


@style()
def contact_sheet(
    images_NCHW: ArrayLike | None,
    spectra: tuple[ArrayLike, ArrayLike, ArrayLike] | None,
    titles: Sequence[str],
    spec: SurveySpec,
    *,
    redshift_N: ArrayLike | None = None,
    max_images: int = MAX_IMAGES,
    max_spectra: int = MAX_SPECTRA,
) -> Figure:
    """Colour images of the first galaxies and, below, the first available spectra.

    Args:
        images_NCHW: counts; NaN: not observed; rows that are all NaN or all zero have no image. None: no images.
        spectra: wavelength_L (Angstrom, vacuum), flux_NL (1e-17 erg/s/cm2/A) and ivar_NL;
            rows with ivar 0 throughout have no spectrum. None: no spectra.
        titles: one per galaxy.
        spec: bands and background noise.
        redshift_N: for the line positions; NaN where unknown.
        max_images, max_spectra: maximum numbers of panels.
    """
    n = len(titles)
    images = None if images_NCHW is None else np.asarray(images_NCHW, np.float64)
    if images is not None and images.shape != (n, *spec.image_shape):
        raise InputError(f"images have shape {images.shape}, expected {(n, *spec.image_shape)} for {n} titles.")
    redshift_N = np.full(n, np.nan) if redshift_N is None else np.asarray(redshift_N, np.float64)
    shown = range(min(n, max_images))
    with_spectrum = _with_spectrum(spectra, n)[:max_spectra]

    image_rows = max(1, -(-len(shown) // IMAGE_COLUMNS))
    spectrum_rows = max(1, -(-len(with_spectrum) // SPECTRUM_COLUMNS))
    heights = (1.55 * image_rows + 0.2, 1.9 * spectrum_rows + 0.3)
    figure = Figure(figsize=(12, sum(heights)), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]

    upper.suptitle(
        f"red, green, blue = {', '.join(rgb_bands(spec))}; image width "
        f"{spec.image_size * spec.pixel_scale:.1f} arcsec; individual stretch",
        fontsize=9,
    )
    axes = upper.subplots(image_rows, IMAGE_COLUMNS, squeeze=False).ravel()
    for i, ax in enumerate(axes):
        if i >= len(shown):
            ax.set_axis_off()
            continue
        ax.set_title(titles[i], fontsize=8, pad=3)
        if images is None or is_absent(images[i]):
            draw_rgb(ax, np.empty(spec.image_shape), spec, 1.0, absent=True)
        else:
            draw_rgb(ax, images[i], spec, white_level(images[i], spec), absent=False)

    if spectra is None or not with_spectrum:
        say_absent(lower.subplots(), "no spectrum")
        return figure
    lower.suptitle(
        rf"$f_\lambda$ [{FLUX_UNIT}] against observed vacuum wavelength "
        rf"[$\mathrm{{\AA}}$]; ivar-weighted running mean of {SMOOTHING} samples",
        fontsize=9,
    )
    wavelength_L, flux_NL, ivar_NL = (np.asarray(part, np.float64) for part in spectra)
    axes = lower.subplots(spectrum_rows, SPECTRUM_COLUMNS, squeeze=False, sharex=True).ravel()
    for k, ax in enumerate(axes):
        if k >= len(with_spectrum):
            ax.set_axis_off()
            continue
        i = with_spectrum[k]
        ax.set_title(titles[i], loc="left", fontsize=8, pad=3)
        draw_spectrum(ax, wavelength_L, flux_NL[i], ivar_NL[i], None, None, float(redshift_N[i]))
    return figure


def _with_spectrum(spectra: tuple[ArrayLike, ArrayLike, ArrayLike] | None, n: int) -> list[int]:
    """Indices of the galaxies with at least one good spectral sample."""
    if spectra is None or np.size(spectra[0]) == 0:
        return []
    wavelength_L, flux_NL, ivar_NL = (np.asarray(part) for part in spectra)
    if flux_NL.shape != (n, wavelength_L.size) or ivar_NL.shape != flux_NL.shape:
        raise InputError(
            f"flux has shape {flux_NL.shape} and ivar {ivar_NL.shape}, expected "
            f"{(n, wavelength_L.size)} for {n} titles."
        )
    good_NL = (ivar_NL > 0) & np.isfinite(ivar_NL) & np.isfinite(flux_NL)
    return np.flatnonzero(good_NL.any(axis=1)).tolist()
