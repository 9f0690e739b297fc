"""Pixel statistics of all images against those published for GalaxiesML-Spectra.

Shape suffixes: N images, C bands, H and W pixels, R bootstrap resamples, V kinds of value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.realism import published
from mmae.realism.columns import PUBLISHED, RATIO, SIMULATED, VERDICT
from mmae.realism.rows import Track, no_tracking, read_images, row_groups
from mmae.report.contents import Column, Measured, Section, Table, judge_ratio
from mmae.survey.store import Survey

RESAMPLES = 200
BATCH = 64  # images: limits the float64 copies to 10 MB


@dataclass(frozen=True)
class PixelSums:
    """Sums over the pixels of each image, for moments and their bootstrap errors."""

    n_pixels: int  # per image and band
    sum_VNC: np.ndarray  # sum of values; V: 0 counts, 1 arcsinh(counts / noise); float64
    square_VNC: np.ndarray  # sum of squares


@dataclass(frozen=True)
class PixelMoments:
    """Mean and standard deviation of all pixels of a band, with errors (V, C).

    Errors are standard deviations over bootstrap resamples of the images, as pixels of an image are not
    independent: a few bright galaxies contain much of the flux.
    """

    n_images: int
    mean_VC: np.ndarray
    sd_VC: np.ndarray
    mean_error_VC: np.ndarray
    sd_error_VC: np.ndarray


def pixel_sums(image_NCHW: np.ndarray, noise_C: np.ndarray) -> PixelSums:
    """Sums over counts and over arcsinh(counts / noise), in float64."""
    n, c, height, width = image_NCHW.shape
    sum_VNC, square_VNC = np.empty((2, n, c)), np.empty((2, n, c))
    noise_C11 = np.asarray(noise_C)[:, None, None]
    for start in range(0, n, BATCH):
        here = slice(start, start + BATCH)
        counts_NCHW = image_NCHW[here].astype(np.float64)
        for v, value_NCHW in enumerate((counts_NCHW, np.arcsinh(counts_NCHW / noise_C11))):
            sum_VNC[v, here] = value_NCHW.sum(axis=(2, 3))
            square_VNC[v, here] = np.einsum("nchw,nchw->nc", value_NCHW, value_NCHW)
    return PixelSums(height * width, sum_VNC, square_VNC)


def join(parts: list[PixelSums]) -> PixelSums:
    """Concatenate the sums of batches of images of the same size."""
    return PixelSums(
        parts[0].n_pixels,
        np.concatenate([p.sum_VNC for p in parts], axis=1),
        np.concatenate([p.square_VNC for p in parts], axis=1),
    )


def moments(sums: PixelSums, *, seed: int, resamples: int | None = None) -> PixelMoments:
    """Mean and standard deviation over all pixels of all images, with bootstrap errors."""
    n = sums.sum_VNC.shape[1]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES if resamples is None else resamples):
        times_N = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        drawn.append(_moments(sums, times_N))
    mean_RVC, sd_RVC = (np.array(part) for part in zip(*drawn, strict=True))
    mean_VC, sd_VC = _moments(sums, np.ones(n))
    return PixelMoments(n, mean_VC, sd_VC, mean_RVC.std(axis=0), sd_RVC.std(axis=0))


def _moments(sums: PixelSums, times_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = times_N.sum() * sums.n_pixels
    mean_VC = np.einsum("n,vnc->vc", times_N, sums.sum_VNC) / total
    square_VC = np.einsum("n,vnc->vc", times_N, sums.square_VNC) / total
    return mean_VC, np.sqrt(np.maximum(square_VC - mean_VC**2, 0))


def pixel_section(survey: Survey, seed: int, track: Track = no_tracking) -> Section:
    """Section on mean and standard deviation of the pixels by band, in counts and after arcsinh."""
    bands = tuple(b for b in survey.spec.bands if b in published.PIXEL_MEAN)
    index_C = [survey.spec.bands.index(b) for b in bands]
    noise_C = np.array([published.BAND_NOISE[b] for b in bands])
    text = (
        f"All pixels of all images, against the published statistics of {published.GALAXIESML} for images of "
        f"{published.GALAXIESML_SIZE} x {published.GALAXIESML_SIZE} pixels; of larger images the centre is used. "
        "Errors: bootstrap over images."
    )
    parts = []
    for group in track(row_groups(survey), "pixels"):
        _, image_NCHW = read_images(group, survey, published.GALAXIESML_SIZE)
        if len(image_NCHW):
            parts.append(pixel_sums(image_NCHW[:, index_C], noise_C))
    if not parts or not bands:
        return Section(
            "pixels", "Pixels", text, left_out=f"Left out: no images in the bands {', '.join(published.PIXEL_MEAN)}."
        )
    found = moments(join(parts), seed=seed)
    wanted = (
        ("counts", published.PIXEL_MEAN, published.PIXEL_SD),
        ("arcsinh(counts / noise)", published.ARCSINH_MEAN, published.ARCSINH_SD),
    )
    rows = []
    for v, (kind, mean, sd) in enumerate(wanted):
        for what, value_VC, error_VC, target in (
            ("mean", found.mean_VC, found.mean_error_VC, mean),
            ("sd", found.sd_VC, found.sd_error_VC, sd),
        ):
            for c, band in enumerate(bands):
                value = float(value_VC[v, c])
                rows.append(
                    (
                        f"{what} of {kind}",
                        band,
                        Measured(value, float(error_VC[v, c])),
                        target[band],
                        value / target[band],
                        judge_ratio(value, target[band], published.PIXEL_TOLERANCE),
                    )
                )
    small = survey.spec.image_size < published.GALAXIESML_SIZE
    table = Table(
        "moments",
        f"{found.n_images:,} images",
        (Column("statistic"), Column("band"), SIMULATED, PUBLISHED, RATIO, VERDICT),
        tuple(rows),
        note=(
            f"The images of this survey have {survey.spec.image_size} pixels per side and contain less sky than the "
            "published ones: a higher mean is expected."
            if small
            else ""
        ),
    )
    return Section("pixels", "Pixels", text, (table,))
