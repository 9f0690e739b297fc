"""Images of the hold-out simulation in numpy: profiles on an oversampled grid, Moffat seeing by FFT, noise.

Shape suffixes: P components, C bands, H and W pixels, Y and X samples of the oversampled, padded grid,
K rows and columns of its Fourier transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter
from scipy.special import gamma, gammaincinv

OVERSAMPLING = 4  # samples per pixel and axis: 0.04 arcsec, a tenth of the seeing
CORE_SAMPLES, CORE_OVERSAMPLING = 12, 9  # the cusp of a profile: samples about the centre, finer samples in each
PADDING = 20  # pixels on each side
SKY_SMOOTHING = 0.45  # pixels, sigma of the Gaussian that correlates the noise
SKY_SLOPE = 0.1  # standard deviation of the slope of the sky across the stamp, in units of the noise


@dataclass(frozen=True)
class Light:
    """A component of an object: an elliptical Sersic profile, with spiral arms or resolved into clumps."""

    index: float
    radius: float  # half-light radius along the major axis, arcsec; 0: a point
    axis_ratio: float
    angle: float  # radians, from the x axis
    arms: tuple[float, float] | None = None  # tangent of the pitch angle, phase
    clumps: tuple[tuple[float, float, float, float], ...] = ()  # x, y, sigma (arcsec) and fraction of the light

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Surface brightness per square arcsec for a total flux of 1; x and y in arcsec from the centre."""
        if self.clumps:
            return sum(
                share / (2 * np.pi * s**2) * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / s**2)
                for cx, cy, s, share in self.clumps
            )
        along = x * np.cos(self.angle) + y * np.sin(self.angle)
        across = (y * np.cos(self.angle) - x * np.sin(self.angle)) / self.axis_ratio
        r = np.hypot(along, across)
        b = gammaincinv(2 * self.index, 0.5)
        # Total flux of a Sersic profile: Graham & Driver 2005, equation 2.
        total = 2 * np.pi * self.index * self.radius**2 * self.axis_ratio * b ** (-2 * self.index)
        value = np.exp(-b * (r / self.radius) ** (1 / self.index)) / (total * gamma(2 * self.index))
        if self.arms is None:
            return value
        pitch, phase = self.arms
        winding = np.log(np.maximum(r, 1e-3) / self.radius) / pitch
        # Two arms; the mean over a circle is 1, so the total flux does not change.
        return value * (1 + np.cos(2 * np.arctan2(across, along) - 2 * winding - phase))


@dataclass(frozen=True)
class Placed:
    """A component, its counts in each band and its centre (x, y in pixels)."""

    light: Light
    counts_C: np.ndarray
    centre: tuple[float, float]


def render(placed: list[Placed], fwhm_C: np.ndarray, beta: float, size: int, pixel_scale: float) -> np.ndarray:
    """Noise-free image (C,size,size) in counts per pixel.

    Args:
        fwhm_C: seeing, arcsec.
        beta: Moffat exponent.
        pixel_scale: arcsec per pixel.
    """
    box = _box(size)
    light_CKK = np.zeros((len(fwhm_C), box, box // 2 + 1), np.complex64)
    for p in placed:
        light_CKK += p.counts_C.astype(np.float32)[:, None, None] * rfft2(_sampled(p, box, pixel_scale))
    image_CHW = np.empty((len(fwhm_C), size, size))
    inside = slice(PADDING, PADDING + size)
    for c, fwhm in enumerate(fwhm_C):
        smooth_YX = irfft2(light_CKK[c] * _seeing(float(fwhm), beta, box, pixel_scale), s=(box, box))
        pixels = box // OVERSAMPLING
        binned = smooth_YX.reshape(pixels, OVERSAMPLING, pixels, OVERSAMPLING).sum(axis=(1, 3))
        image_CHW[c] = binned[inside, inside]
    return image_CHW


def fibre_fraction(light: Light, diameter: float, fwhm: float, beta: float) -> float:
    """Fraction of the light in a fibre (arcsec) relative to a point source."""
    size, scale = 32, 0.2
    centre = ((size - 1) / 2, (size - 1) / 2)
    y, x = (np.indices((size, size)) - centre[0]) * scale
    fibre = np.hypot(x, y) < diameter / 2
    point = Light(1.0, 0.0, 1.0, 0.0)
    inside = [
        render([Placed(one, np.ones(1), centre)], np.array([fwhm]), beta, size, scale)[0][fibre].sum()
        for one in (light, point)
    ]
    return float(min(inside[0] / inside[1], 1.0))


def add_noise(rng: np.random.Generator, image_CHW: np.ndarray, sigma_C: np.ndarray, gain_C: np.ndarray) -> np.ndarray:
    """Image with correlated sky noise, a residual slope of the sky, and photon noise; float32 counts.

    Args:
        sigma_C: sky noise, counts per pixel.
        gain_C: electrons per count.
    """
    _, height, width = image_CHW.shape
    white_CHW = rng.standard_normal(image_CHW.shape)
    noise_CHW = gaussian_filter(white_CHW, (0, SKY_SMOOTHING, SKY_SMOOTHING), mode="wrap")
    noise_CHW /= noise_CHW.std(axis=(1, 2), keepdims=True)
    y, x = np.indices((height, width)) / width - 0.5
    slope_C2 = SKY_SLOPE * rng.standard_normal((len(sigma_C), 2))
    plane_CHW = slope_C2[:, 0, None, None] * x + slope_C2[:, 1, None, None] * y
    variance_CHW = np.square(sigma_C)[:, None, None] + np.maximum(image_CHW, 0) / gain_C[:, None, None]
    return (image_CHW + np.sqrt(variance_CHW) * noise_CHW + sigma_C[:, None, None] * plane_CHW).astype(np.float32)


def _box(size: int) -> int:
    pixels = size + 2 * PADDING
    while next_fast_len(pixels * OVERSAMPLING, real=True) != pixels * OVERSAMPLING:
        pixels += 1
    return pixels * OVERSAMPLING


def _sampled(placed: Placed, box: int, pixel_scale: float) -> np.ndarray:
    """Flux (Y,X) per sample of a component with total flux 1, float32."""
    step = pixel_scale / OVERSAMPLING
    # Sample s covers pixel coordinate (s + 0.5) / OVERSAMPLING - 0.5 - PADDING.
    coordinate = (np.arange(box) + 0.5) / OVERSAMPLING - 0.5 - PADDING
    x, y = (coordinate - c for c in placed.centre)
    if placed.light.radius == 0 and not placed.light.clumps:
        return np.outer(_shared(y), _shared(x)).astype(np.float32)
    x_arcsec, y_arcsec = x * pixel_scale, y * pixel_scale
    sampled_YX = placed.light.at(x_arcsec[None, :], y_arcsec[:, None]) * step**2
    core_Y, core_X = (np.abs(v) * OVERSAMPLING < CORE_SAMPLES / 2 for v in (y, x))
    if not placed.light.clumps and core_Y.any() and core_X.any():
        fine = ((np.arange(CORE_OVERSAMPLING) + 0.5) / CORE_OVERSAMPLING - 0.5) * step
        fine_x = (x_arcsec[core_X, None] + fine).ravel()
        fine_y = (y_arcsec[core_Y, None] + fine).ravel()
        value = placed.light.at(fine_x[None, :], fine_y[:, None]) * step**2
        value = value.reshape(core_Y.sum(), CORE_OVERSAMPLING, core_X.sum(), CORE_OVERSAMPLING).mean(axis=(1, 3))
        sampled_YX[np.ix_(core_Y, core_X)] = value
    return sampled_YX.astype(np.float32)


def _shared(offset: np.ndarray) -> np.ndarray:
    """A point shared linearly by the two nearest samples; offset in pixels."""
    return np.maximum(1 - np.abs(offset) * OVERSAMPLING, 0)


@lru_cache(maxsize=8)
def _seeing(fwhm: float, beta: float, box: int, pixel_scale: float) -> np.ndarray:
    """Transform (K,K) of a Moffat profile of flux 1."""
    step = pixel_scale / OVERSAMPLING
    offset = np.minimum(np.arange(box), box - np.arange(box)) * step
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    r2 = offset[:, None] ** 2 + offset[None, :] ** 2
    profile_YX = (beta - 1) / (np.pi * alpha**2) * (1 + r2 / alpha**2) ** -beta * step**2
    return rfft2(profile_YX.astype(np.float32))
