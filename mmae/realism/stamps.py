"""Measurements of a stamp: sky noise, pixel correlation, detected objects, central object.

The same code measures simulated and real stamps. It serves this comparison only: no deblending, no PSF model.

Shape suffixes: C bands, H and W pixels, P pixels in order of radius.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mmae.metrics.redshift import MAD_TO_SIGMA, sigma_nmad
from mmae.survey.schema import SurveySpec

# Smoothing kernels in pixels: about the seeing (0.6 to 0.8 arcsec FWHM) for detection, wider for the mask, which
# includes faint outskirts.
DETECTION_SIGMA, MASK_SIGMA = 1.5, 2.0
DETECTION_LIMIT = 5.0  # sigma of white noise after smoothing
MASK_LIMIT, MASK_GROWTH = 2.5, 3  # sigma after smoothing; pixels
CENTRE_TOLERANCE = 3.0  # pixels: maximum distance of the central object from the centre
APERTURE, PROFILE_RADIUS = 1.5, 4.0  # arcsec
PROFILE_EDGES = np.arange(0.0, 4.01, 0.25)  # arcsec, of the annuli
MIN_SKY_PIXELS = 200
CLIP = 4.0  # sigma: pixel pairs beyond are excluded as unmasked objects


@dataclass(frozen=True)
class CentralObject:
    """Object at the centre of a stamp."""

    aperture_mag_C: np.ndarray  # AB, 1.5 arcsec radius; NaN where the flux is not positive
    half_light_radius: float  # arcsec, of the light within 4 arcsec, including seeing
    concentration: float  # 5 log10(r80 / r20) (Bershady+2000)
    profile_R: np.ndarray  # mean surface brightness in annuli relative to the first


@dataclass(frozen=True)
class StampMeasures:
    """Measurements of a stamp."""

    noise_C: np.ndarray  # robust sigma of the sky, counts; NaN with too few sky pixels
    correlation_C: np.ndarray  # of horizontally and vertically adjacent sky pixels
    others_yx: tuple[tuple[float, float], ...]  # peaks of non-central objects
    searched_HW: np.ndarray  # False inside the central object
    central: CentralObject | None


def measure_stamp(image_CHW: np.ndarray, spec: SurveySpec) -> StampMeasures:
    """Measure a stamp in counts at the zero point of `spec`.

    Objects are regions of the smoothed i image above 5 sigma of the published noise of the survey, or of the noise
    of the stamp if that is higher: deep and shallow images get the same limit.
    """
    image_CHW = image_CHW.astype(np.float64)
    rough_C = difference_noise(image_CHW)
    sky_HW = sky_pixels(image_CHW, rough_C)
    enough_sky = sky_HW.sum() >= MIN_SKY_PIXELS
    level_C = np.median(image_CHW[:, sky_HW], axis=1) if enough_sky else np.zeros(len(image_CHW))
    noise_C, correlation_C = sky_statistics(image_CHW, sky_HW)
    i = spec.bands.index("i")
    noise = max(spec.band_noise[i], rough_C[i])
    label_HW, smooth_HW = detect(image_CHW[i] - level_C[i], noise)
    peak = _central_peak(smooth_HW, label_HW)
    central_label = label_HW[peak] if peak is not None else 0
    others = [n for n in range(1, label_HW.max() + 1) if n != central_label]
    peaks = ndimage.maximum_position(smooth_HW, label_HW, others) if others else []
    central = None
    if peak is not None:
        blocked_HW = (label_HW > 0) & (label_HW != central_label)
        centre = _subpixel_peak(smooth_HW, peak)
        central = measure_central(image_CHW - level_C[:, None, None], blocked_HW, centre, i, spec)
    return StampMeasures(
        noise_C,
        correlation_C,
        tuple((float(y), float(x)) for y, x in peaks),
        (label_HW == 0) | (label_HW != central_label),
        central,
    )


def aperture_magnitudes(image_CHW: np.ndarray, radius: float, spec: SurveySpec) -> np.ndarray:
    """AB magnitudes (C,) of a noise-free image within `radius` arcsec of its centre."""
    height, width = image_CHW.shape[1:]
    inside_HW = _radius((height, width), ((height - 1) / 2, (width - 1) / 2)) * spec.pixel_scale <= radius
    with np.errstate(divide="ignore", invalid="ignore"):
        return spec.zero_point - 2.5 * np.log10(image_CHW[:, inside_HW].sum(axis=1))


def white_noise_factor(sigma: float) -> float:
    """Standard deviation of white noise of sigma 1 after smoothing with a Gaussian of `sigma` pixels."""
    return 1 / (2 * np.sqrt(np.pi) * sigma)


def difference_noise(image_CHW: np.ndarray) -> np.ndarray:
    """Noise (C,) from differences of horizontally adjacent pixels.

    Insensitive to smooth structure; low by sqrt(1 - correlation).
    """
    difference_CX = np.diff(image_CHW, axis=2).reshape(len(image_CHW), -1)
    centred_CX = np.abs(difference_CX - np.median(difference_CX, axis=1, keepdims=True))
    return MAD_TO_SIGMA * np.median(centred_CX, axis=1) / np.sqrt(2)


def sky_pixels(image_CHW: np.ndarray, noise_C: np.ndarray) -> np.ndarray:
    """Sky mask (H,W), True outside objects: the smoothed combined signal of all bands is below 2.5 sigma."""
    used_C = noise_C > 0
    if not used_C.any():
        return np.zeros(image_CHW.shape[1:], bool)
    signal_HW = (image_CHW[used_C] / noise_C[used_C, None, None]).sum(axis=0) / np.sqrt(used_C.sum())
    smooth_HW = ndimage.gaussian_filter(signal_HW, MASK_SIGMA, mode="reflect")
    bright_HW = smooth_HW > MASK_LIMIT * white_noise_factor(MASK_SIGMA)
    return ~ndimage.binary_dilation(bright_HW, iterations=MASK_GROWTH)


def sky_statistics(image_CHW: np.ndarray, sky_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Robust sigma (C,) of the sky and the correlation (C,) of adjacent sky pixels.

    The correlation is mean(a b) / mean(a^2) over horizontal and vertical pairs.
    """
    n_bands = len(image_CHW)
    if sky_HW.sum() < MIN_SKY_PIXELS:
        return np.full(n_bands, np.nan), np.full(n_bands, np.nan)
    noise_C, correlation_C = np.empty(n_bands), np.full(n_bands, np.nan)
    for c, image_HW in enumerate(image_CHW):
        residual_HW = image_HW - np.median(image_HW[sky_HW])
        noise_C[c] = sigma_nmad(image_HW[sky_HW])
        usable_HW = sky_HW & (np.abs(residual_HW) < CLIP * noise_C[c])
        product, square = 0.0, 0.0
        for first, second in (
            ((slice(None), slice(0, -1)), (slice(None), slice(1, None))),
            ((slice(0, -1), slice(None)), (slice(1, None), slice(None))),
        ):
            both = usable_HW[first] & usable_HW[second]
            a, b = residual_HW[first][both], residual_HW[second][both]
            product += float((a * b).sum())
            square += 0.5 * float((a * a + b * b).sum())
        if square > 0:
            correlation_C[c] = product / square
    return noise_C, correlation_C


def detect(image_HW: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of regions above 5 sigma of the smoothed image (0: none), and the smoothed image."""
    # Zero padding: with repeated edge pixels noise would not average out and would be detected.
    smooth_HW = ndimage.gaussian_filter(image_HW, DETECTION_SIGMA, mode="constant")
    limit = DETECTION_LIMIT * noise * white_noise_factor(DETECTION_SIGMA)
    # Diagonally adjacent pixels are connected.
    label_HW, _ = ndimage.label(smooth_HW > limit, structure=np.ones((3, 3)))
    return label_HW, smooth_HW


def _central_peak(smooth_HW: np.ndarray, label_HW: np.ndarray) -> tuple[int, int] | None:
    """Peak pixel (y, x) of a detected object near the centre of the stamp, or None."""
    peaks_HW = (ndimage.maximum_filter(smooth_HW, size=5) == smooth_HW) & (label_HW > 0)
    ys, xs = np.nonzero(peaks_HW)
    if ys.size == 0:
        return None
    height, width = smooth_HW.shape
    distance = np.hypot(ys - (height - 1) / 2, xs - (width - 1) / 2)
    nearest = int(np.argmin(distance))
    return (int(ys[nearest]), int(xs[nearest])) if distance[nearest] <= CENTRE_TOLERANCE else None


def _subpixel_peak(smooth_HW: np.ndarray, peak: tuple[int, int]) -> tuple[float, float]:
    """Sub-pixel position (y, x) of a peak, from a parabola along each axis."""
    position = []
    for along, at in ((smooth_HW[:, peak[1]], peak[0]), (smooth_HW[peak[0]], peak[1])):
        offset = 0.0
        if 0 < at < along.size - 1:
            low, middle, high = along[at - 1 : at + 2]
            curvature = low - 2 * middle + high
            offset = 0.5 * (low - high) / curvature if curvature < 0 else 0.0
        position.append(at + float(offset))
    return position[0], position[1]


def _radius(shape: tuple[int, int], centre: tuple[float, float]) -> np.ndarray:
    """Distance (H,W) of every pixel from a position (y, x), pixels."""
    y_HW, x_HW = np.indices(shape)
    return np.hypot(y_HW - centre[0], x_HW - centre[1])


def measure_central(
    image_CHW: np.ndarray, blocked_HW: np.ndarray, centre: tuple[float, float], band: int, spec: SurveySpec
) -> CentralObject | None:
    """Aperture magnitudes and radial profile of the object at `centre`.

    Args:
        image_CHW: counts, sky subtracted.
        blocked_HW: True on other objects; replaced by the mean of the other pixels of the annulus.
        centre: (y, x) in pixels.
        band: of the profile.

    Returns:
        None if all pixels of an annulus are blocked or the flux in `band` is not positive.
    """
    radius_HW = _radius(image_CHW.shape[1:], centre) * spec.pixel_scale
    ring_HW = np.digitize(radius_HW, PROFILE_EDGES) - 1  # annulus of each pixel
    n_rings = PROFILE_EDGES.size - 1
    inside_HW = ring_HW < n_rings
    free = inside_HW & ~blocked_HW
    n_free = np.bincount(ring_HW[free], minlength=n_rings)
    if (n_free == 0).any():
        return None
    filled_CP, mean_CR = [], []
    radius_P, ring_P, blocked_P = radius_HW[inside_HW], ring_HW[inside_HW], blocked_HW[inside_HW]
    for image_HW in image_CHW:
        mean_R = np.bincount(ring_HW[free], image_HW[free], minlength=n_rings) / n_free
        filled_CP.append(np.where(blocked_P, mean_R[ring_P], image_HW[inside_HW]))
        mean_CR.append(mean_R)
    filled_CP = np.array(filled_CP)
    aperture_C = filled_CP[:, radius_P <= APERTURE].sum(axis=1)
    order = np.argsort(radius_P, kind="stable")
    growth_P = np.cumsum(filled_CP[band][order])
    if growth_P[-1] <= 0 or mean_CR[band][0] <= 0:
        return None
    r20, r50, r80 = (_radius_of_share(radius_P[order], growth_P / growth_P[-1], share) for share in (0.2, 0.5, 0.8))
    with np.errstate(divide="ignore", invalid="ignore"):
        mag_C = np.where(aperture_C > 0, spec.zero_point - 2.5 * np.log10(aperture_C), np.nan)
        concentration = 5 * np.log10(r80 / r20) if r20 > 0 else np.nan
    return CentralObject(mag_C, r50, float(concentration), mean_CR[band] / mean_CR[band][0])


def _radius_of_share(radius_P: np.ndarray, share_P: np.ndarray, share: float) -> float:
    """First radius that contains a fraction `share` of the light; interpolation linear in area."""
    reached = int(np.argmax(share_P >= share))
    if reached == 0:
        return float(radius_P[0])
    low, high = share_P[reached - 1], share_P[reached]
    part = (share - low) / (high - low) if high > low else 0.0
    area = radius_P[reached - 1] ** 2 + part * (radius_P[reached] ** 2 - radius_P[reached - 1] ** 2)
    return float(np.sqrt(area))
