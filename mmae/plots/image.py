"""Colour images of galaxies, and reconstructions of masked images.

Shape suffixes: N galaxies, C bands, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mmae.core.errors import InputError
from mmae.report.style import SIGNED_CMAP, say_absent, style
from mmae.survey.schema import SurveySpec

RGB_BANDS = ("i", "r", "g")  # red, green, blue
SOFTENING = 3.0  # background sigma at which the arcsinh stretch changes from linear to logarithmic
FAINTEST_WHITE = 30.0  # background sigma; minimum white level, so that empty images do not show stretched noise
WHITE_PERCENTILE = 99.8  # of the pixels of one galaxy
MASKED_RGB = (0.55, 0.55, 0.55)
RESIDUAL_LIMIT = 5.0  # background sigma at the ends of the residual colour bar

COLUMNS = ("truth", "model input", "reconstruction", "reconstruction,\nvisible pixels pasted")


@style()
def image_reconstruction_figure(
    truth_NCHW: ArrayLike,
    visible_NHW: ArrayLike,
    reconstruction_NCHW: ArrayLike,
    spec: SurveySpec,
    titles: Sequence[str],
    *,
    residual_band: str = "i",
) -> Figure:
    """One row per galaxy: truth, model input, reconstruction (alone and with visible pixels pasted), residual.

    All panels of a row use the stretch of the truth. The residual is (truth - reconstruction) / background noise in
    one band. In bright cores photon noise exceeds the background noise, so residuals at the ends of the colour bar are
    expected there.

    Args:
        truth_NCHW: counts; NaN: not observed; galaxies that are all NaN or all zero have no image.
        visible_NHW: True for pixels visible to the model.
        reconstruction_NCHW: counts; NaN where there is none.
        spec: bands, background noise and pixel scale.
        titles: one per galaxy.
        residual_band: band of the residual column.
    """
    truth_NCHW = np.asarray(truth_NCHW, np.float64)
    reconstruction_NCHW = np.asarray(reconstruction_NCHW, np.float64)
    visible_NHW = np.asarray(visible_NHW, bool)
    n = len(titles)
    if n == 0:
        figure = Figure(figsize=(9, 2), layout="constrained")
        say_absent(figure.subplots(), "no image")
        return figure
    _check_shapes(truth_NCHW, visible_NHW, reconstruction_NCHW, n, residual_band, spec)
    band = spec.bands.index(residual_band)

    figure = Figure(figsize=(10.4, 0.6 + 1.95 * n), layout="constrained")
    axes = figure.subplots(n, len(COLUMNS) + 1, squeeze=False)
    for ax, name in zip(axes[0], COLUMNS, strict=False):
        ax.set_title(name)
    axes[0, -1].set_title(f"residual in {residual_band}\n[background noise]")
    residuals = None
    for i in range(n):
        axes[i, 0].set_ylabel(titles[i])
        truth, visible, model = truth_NCHW[i], visible_NHW[i], reconstruction_NCHW[i]
        white = white_level(model if is_absent(truth) else truth, spec)
        no_truth, no_model = is_absent(truth), is_absent(model)
        # A completely masked image is drawn grey, unlike an absent one.
        model_input = np.where(visible, truth, np.nan)
        pasted = np.where(np.isfinite(model_input), truth, model)
        draw_rgb(axes[i, 0], truth, spec, white, absent=no_truth)
        draw_rgb(axes[i, 1], model_input, spec, white, absent=no_truth)
        draw_rgb(axes[i, 2], model, spec, white, absent=no_model)
        draw_rgb(axes[i, 3], pasted, spec, white, absent=no_truth)
        if no_truth or no_model:
            say_absent(axes[i, -1], "no residual")
            axes[i, -1].set_box_aspect(1)
            continue
        residual_HW = (truth[band] - model[band]) / spec.band_noise[band]
        residuals = axes[i, -1].imshow(residual_HW, cmap=SIGNED_CMAP, vmin=-RESIDUAL_LIMIT, vmax=RESIDUAL_LIMIT)
        axes[i, -1].set(xticks=[], yticks=[], facecolor=MASKED_RGB)
    if residuals is not None:
        figure.colorbar(
            residuals,
            ax=axes[:, -1],
            extend="both",
            aspect=14 * n,
            pad=0.03,
            label=rf"(truth $-$ reconstruction) / $\sigma_{{{residual_band}}}$",
        )
    side = spec.image_size * spec.pixel_scale
    figure.supxlabel(
        f"panel width {side:.1f} arcsec; grey: masked or not observed; red, green, blue = {', '.join(rgb_bands(spec))}",
        fontsize=8,
    )
    return figure


def rgb_bands(spec: SurveySpec) -> tuple[str, str, str]:
    """The bands for red, green, blue: i, r, g if the survey has them, else its reddest, middle and bluest band."""
    if all(band in spec.bands for band in RGB_BANDS):
        return RGB_BANDS
    return spec.bands[-1], spec.bands[len(spec.bands) // 2], spec.bands[0]


def is_absent(values: np.ndarray) -> bool:
    """Whether a modality was not observed: zero length, all NaN or all zero."""
    finite = values[np.isfinite(values)]
    return finite.size == 0 or not finite.any()


def white_level(image_CHW: np.ndarray, spec: SurveySpec) -> float:
    """Mean signal of the three colours, in background sigma, that is shown as white."""
    intensity_HW = _noise_units(image_CHW, spec).mean(axis=0)
    finite = intensity_HW[np.isfinite(intensity_HW)]
    if finite.size == 0:
        return FAINTEST_WHITE
    return max(float(np.percentile(finite, WHITE_PERCENTILE)), FAINTEST_WHITE)


def lupton_rgb(image_CHW: np.ndarray, spec: SurveySpec, white: float) -> np.ndarray:
    """Colour image (H, W, 3) in 0..1: the stretch of Lupton et al. (2004, PASP 116, 133).

    The stretch changes the intensity but not the colour, so bright cores do not saturate to white. Bands are divided
    by their background noise, so that the sky has a neutral colour. Pixels that are NaN in one of the three bands are
    grey; a band without any data has the mean of the others.

    Args:
        image_CHW: counts.
        white: intensity in background sigma that is shown as white; see `white_level`.
    """
    signal_3HW = _noise_units(image_CHW, spec) + 1.0  # +1 sigma, to show some of the sky noise
    intensity_HW = signal_3HW.mean(axis=0)
    masked_HW = ~np.isfinite(intensity_HW)
    positive_HW = np.where(intensity_HW > 0, intensity_HW, np.nan)
    stretched_HW = np.arcsinh(positive_HW / SOFTENING) / np.arcsinh(white / SOFTENING)
    rgb_HW3 = np.moveaxis(np.clip(signal_3HW, 0.0, None) * stretched_HW / positive_HW, 0, -1)
    peak_HW1 = np.nan_to_num(rgb_HW3, nan=0.0).max(axis=-1, keepdims=True)
    rgb_HW3 = np.nan_to_num(rgb_HW3 / np.maximum(peak_HW1, 1.0), nan=0.0)
    rgb_HW3[masked_HW] = MASKED_RGB
    return rgb_HW3


def draw_rgb(ax: Axes, image_CHW: np.ndarray, spec: SurveySpec, white: float, *, absent: bool) -> None:
    """Draw one galaxy in colour, or "no image". Bands of the colours that were not observed are named."""
    if absent:
        say_absent(ax, "no image")
        ax.set_box_aspect(1)
        return
    ax.imshow(lupton_rgb(image_CHW, spec, white))
    ax.set(xticks=[], yticks=[])
    missing = [band for band in rgb_bands(spec) if np.isnan(image_CHW[spec.bands.index(band)]).all()]
    if 0 < len(missing) < len(RGB_BANDS):
        ax.text(0.03, 0.03, f"no {', '.join(missing)}", transform=ax.transAxes, fontsize=6, color="white")


def _noise_units(image_CHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """The bands for red, green and blue (3, H, W) in background sigma."""
    index = [spec.bands.index(band) for band in rgb_bands(spec)]
    signal_3HW = image_CHW[index] / np.asarray(spec.band_noise)[index, None, None]
    missing_3 = np.isnan(signal_3HW).all(axis=(1, 2))
    if missing_3.any() and not missing_3.all():
        signal_3HW[missing_3] = signal_3HW[~missing_3].mean(axis=0)
    return signal_3HW


def _check_shapes(
    truth_NCHW: np.ndarray,
    visible_NHW: np.ndarray,
    reconstruction_NCHW: np.ndarray,
    n: int,
    residual_band: str,
    spec: SurveySpec,
) -> None:
    expected = (n, *spec.image_shape)
    for name, shape, wanted in (
        ("truth", truth_NCHW.shape, expected),
        ("reconstruction", reconstruction_NCHW.shape, expected),
        ("visible", visible_NHW.shape, (n, *spec.image_shape[1:])),
    ):
        if shape != wanted:
            raise InputError(f"{name} has shape {shape}, expected {wanted} for {n} titles.")
    if residual_band not in spec.bands:
        raise InputError(f"residual_band is {residual_band!r}, but the survey has {', '.join(spec.bands)}.")
