"""Images: Sersic profiles through the seeing onto HSC coadd pixels, with noise.

Profiles are built in Fourier space, where seeing, pixel integration and sub-pixel
shifts are plain products. The steep centre of a de Vaucouleurs profile then needs no
oversampling: the seeing (FWHM above 3 pixels) leaves nothing beyond the Nyquist frequency.

Shape suffixes: C bands, H and W image pixels, Y and X the larger box the transform runs
in (X: half spectrum), Q samples of a radial transform.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import fht, fhtoffset, irfft2
from scipy.special import gamma, gammainccinv, j1, kv

from mmae.survey.schema import SurveySpec
from mmae.survey.simulation.population import Profile
from mmae.survey.simulation.seds import electrons_per_second

# Median seeing of the HSC-SSP wide layer, arcsec (PDR2, Aihara+2019).
SEEING_FWHM = {"g": 0.77, "r": 0.76, "i": 0.58, "z": 0.68, "y": 0.68}
SEEING_SCATTER = 0.08  # in ln FWHM, between pointings
MOFFAT_BETA = 3.0  # wings as in atmospheric seeing with optics (Trujillo+2001)
# Seconds on sky in the wide layer (Aihara+2018); the filter curves hold all losses of light.
EXPOSURE_TIME = {"g": 600.0, "r": 600.0, "i": 1200.0, "z": 1200.0, "y": 1200.0}
COLLECTING_AREA = np.pi * 410.0**2 * 0.9  # cm2: 8.2 m mirror less the prime-focus unit
RADIAL_LOG_STEP = 0.02
# Side of the transform's box in pixels: stamp + BOX_MARGIN + BOX_RADII half-light radii, at most
# MAX_BOX. Light beyond it folds back as a faint even pedestal (0.5% of the flux for n = 4).
BOX_MARGIN, BOX_RADII, BOX_STEP, MAX_BOX = 32, 12, 32, 320


@lru_cache(maxsize=1024)
def sersic_transform(sersic_index: float) -> tuple[np.ndarray, np.ndarray]:
    """Fourier transform of a round Sersic profile of unit flux and unit half-light radius.

    Returns:
        Wavenumber_Q (radian per half-light radius, increasing) and amplitude_Q (1 at k = 0).
    """
    # The range in radius is far wider than the profile: the transform is periodic in log k.
    radius_Q = np.exp(RADIAL_LOG_STEP * (np.arange(2048) - 1400))
    log_offset = fhtoffset(RADIAL_LOG_STEP, mu=0)
    wavenumber_Q = np.exp(log_offset) / radius_Q[::-1]
    b = gammainccinv(2 * sersic_index, 0.5)
    intensity_Q = np.exp(-b * (radius_Q ** (1 / sersic_index) - 1))
    # fht gives the integral of a(r) J0(k r) k dr (Hamilton 2000); a(r) = r I(r) leaves one k over.
    amplitude_Q = fht(radius_Q * intensity_Q, RADIAL_LOG_STEP, mu=0, offset=log_offset) / wavenumber_Q
    total = (radius_Q**2 * intensity_Q).sum() * RADIAL_LOG_STEP
    used_Q = (wavenumber_Q > 1e-3) & (wavenumber_Q < 1e4)
    return wavenumber_Q[used_Q], amplitude_Q[used_Q] / total


def _profile_transform(profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    # Steps of 0.05 in n let galaxies share a transform; far below the error of a fit.
    return sersic_transform(round(profile.sersic_index * 20) / 20)


def moffat_transform(wavenumber: np.ndarray, fwhm: float) -> np.ndarray:
    """Fourier transform of a Moffat profile of unit flux; fwhm and 1/wavenumber in one unit."""
    scale = fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    order = MOFFAT_BETA - 1
    x = np.maximum(wavenumber * scale, 1e-6)
    return 2 / gamma(order) * (x / 2) ** order * kv(order, x)


@lru_cache(maxsize=1)
def _moffat_table() -> tuple[np.ndarray, np.ndarray]:
    wavenumber = np.linspace(0, 40, 8000)
    return wavenumber, moffat_transform(wavenumber, 1.0)


@lru_cache(maxsize=16)
def _frequencies(box: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """k_y (Y,1), k_x (1,X) and |k| (Y,X) in radian per pixel, and the pixel's own transform."""
    ky, kx = np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)[None, :]
    return 2 * np.pi * ky, 2 * np.pi * kx, 2 * np.pi * np.hypot(ky, kx), np.sinc(ky) * np.sinc(kx)


def render(profile: Profile, flux_C: np.ndarray, fwhm_C: np.ndarray,
           centre: tuple[float, float], size: int, pixel_scale: float) -> np.ndarray:
    """A noise-free image (C,H,W) in counts per pixel.

    Args:
        profile: what to draw; half_light_radius 0 is a point source.
        flux_C: total counts in each band.
        fwhm_C: seeing in arcsec.
        centre: (x, y) in pixels; the centre of the first pixel is 0.
        size: pixels along a side.
        pixel_scale: arcsec per pixel.
    """
    radius = profile.half_light_radius / pixel_scale
    box = BOX_STEP * int(np.ceil((size + BOX_MARGIN + BOX_RADII * radius) / BOX_STEP))
    box = max(min(box, MAX_BOX), size)
    ky, kx, k_YX, amplitude_YX = _frequencies(box)
    if radius > 0:
        cos, sin = np.cos(profile.position_angle), np.sin(profile.position_angle)
        stretched_YX = radius * np.hypot(cos * kx + sin * ky,
                                         profile.axis_ratio * (cos * ky - sin * kx))
        wavenumber_Q, sersic_Q = _profile_transform(profile)
        amplitude_YX = amplitude_YX * np.interp(stretched_YX, wavenumber_Q, sersic_Q, left=1.0)
    shift_YX = np.exp(-1j * kx * centre[0]) * np.exp(-1j * ky * centre[1])
    table_k, table_amplitude = _moffat_table()
    fwhm_pixels = np.asarray(fwhm_C) / pixel_scale
    seeing_CYX = np.stack([np.interp(k_YX * f, table_k, table_amplitude).astype(np.float32)
                           for f in fwhm_pixels])
    # Single precision: 1e-7 of the peak, below the sky noise of any star in the survey.
    transform_YX = (amplitude_YX * shift_YX).astype(np.complex64)
    unit_CHW = irfft2(seeing_CYX * transform_YX, s=(box, box), overwrite_x=True)[:, :size, :size]
    return unit_CHW * np.asarray(flux_C)[:, None, None]


@lru_cache(maxsize=4)
def _fibre_seeing(fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    wavenumber = np.linspace(1e-4, 60.0, 2000)  # radian / arcsec; the seeing leaves nothing beyond
    return wavenumber, moffat_transform(wavenumber, fwhm)


def fibre_fraction(profile: Profile, fwhm: float, fibre_diameter: float) -> float:
    """Share of the light (of a circularised profile) that enters a centred round fibre.

    Parseval: the integral of F(k) P(k) R J1(k R) dk. All lengths in arcsec.
    """
    wavenumber, amplitude = _fibre_seeing(fwhm)
    if profile.half_light_radius > 0:
        radius = profile.half_light_radius * np.sqrt(profile.axis_ratio)
        wavenumber_Q, sersic_Q = _profile_transform(profile)
        amplitude = amplitude * np.interp(wavenumber * radius, wavenumber_Q, sersic_Q, left=1.0)
    fibre = fibre_diameter / 2
    return float((amplitude * fibre * j1(wavenumber * fibre)).sum() * (wavenumber[1] - wavenumber[0]))


def draw_seeing(rng: np.random.Generator, bands: tuple[str, ...]) -> np.ndarray:
    """Seeing FWHM (C,) in arcsec of one pointing."""
    return np.array([SEEING_FWHM[b] for b in bands]) * rng.lognormal(0, SEEING_SCATTER, len(bands))


def effective_gain(spec: SurveySpec) -> np.ndarray:
    """Electrons per count (C,) of a coadd: exposure x response x area at the zero point.

    1500 (y) to 4700 (i). For comparison: variance against flux in real HSC-COSMOS coadds,
    which are deeper, gives about 6000 in r.
    """
    rate_C = electrons_per_second(spec.bands, COLLECTING_AREA) * 10 ** (-0.4 * spec.zero_point)
    return rate_C * np.array([EXPOSURE_TIME[b] for b in spec.bands])


def add_noise(rng: np.random.Generator, image_CHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Sky noise of the survey plus the photon noise of the objects; (C,H,W) float32 counts."""
    sky_C11 = np.square(spec.band_noise)[:, None, None]
    photon_CHW = np.maximum(image_CHW, 0) / effective_gain(spec)[:, None, None]
    sigma_CHW = np.sqrt(sky_C11 + photon_CHW).astype(np.float32)
    noise_CHW = rng.standard_normal(image_CHW.shape, dtype=np.float32)
    return image_CHW.astype(np.float32) + sigma_CHW * noise_CHW


def measure_magnitude(rng: np.random.Generator, mag_C: np.ndarray, profile: Profile,
                      fwhm_C: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """A catalogue magnitude (C,) with the noise of an optimal fit; NaN below zero flux.

    Matched-filter noise of a Gaussian: sigma_F^2 = 4 pi s^2 sigma_sky^2 + F / gain
    (King 1983), s the rms size of the seen profile; plus 1% calibration.
    """
    counts_C = 10 ** (0.4 * (spec.zero_point - mag_C))
    size_C = np.hypot(fwhm_C / 2.355, profile.half_light_radius / 1.177) / spec.pixel_scale
    sky_C = 4 * np.pi * size_C**2 * np.square(spec.band_noise)
    sigma_C = np.sqrt(sky_C + counts_C / effective_gain(spec) + (0.01 * counts_C) ** 2)
    measured_C = counts_C + sigma_C * rng.standard_normal(len(counts_C))
    return np.where(measured_C > 0, spec.zero_point - 2.5 * np.log10(np.maximum(measured_C, 1e-30)),
                    np.nan).astype(np.float32)
