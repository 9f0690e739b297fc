"""The hold-out survey as a source: rows, labels and truth in the format of the simulated survey.

Row i of a seed is the same for any number of workers. Its sky patch and targetids are not those of the simulated
survey: no row of one is a row of the other.

Shape suffixes: P components, C bands, E the widths of `LINE_NAMES`.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np

from mmae.astro.lines import LINE_NAMES, WIDTH_WAVELENGTH_E
from mmae.core.errors import InputError
from mmae.simulation import camera, labels, spectrograph
from mmae.simulation.config import SimulationConfig, recorded
from mmae.simulation.dust import draw_galactic_reddening, galactic_transmission
from mmae.simulation.field import FAINT, draw_field_magnitude, draw_field_redshift, galaxies_per_square_arcmin
from mmae.simulation.holdout import images, population, templates
from mmae.simulation.seds import Sed, ab_magnitude, scaled
from mmae.simulation.source import CHUNK_ROWS
from mmae.simulation.truth import truth_schema
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

NAME, VERSION = "holdout", 1
SKY_PATCH = ((210.0, 212.5), (-1.0, 1.5))  # degrees of ra and dec: an HSC wide field, far from the simulated survey
FIRST_TARGETID = 2 * 10**18  # the simulated survey has targetids below 1e18
STREAM = 100  # of the random generator (seed, STREAM, row)
SEEING, SEEING_SCATTER = 0.70, 0.18  # arcsec FWHM in r and of its ln, common to all bands
SEEING_EXPONENT = -0.2  # of wavelength: Kolmogorov
EFFECTIVE = {"g": 4770.0, "r": 6175.0, "i": 7710.0, "z": 8900.0, "y": 9760.0}  # Angstrom: Kawanomoto+2018
BETA_RANGE = (2.3, 4.5)  # Moffat exponent
DEPTH_SCATTER = 0.15  # ln of the sky noise
MODEL_ERROR, BAND_ERROR = 0.10, 0.03  # mag, catalogue magnitudes: common to all bands and of each
CENTRING_ERROR = 1.0  # pixels, maximum per axis


def holdout_source(config: SimulationConfig, spec: SurveySpec) -> Source:
    """The hold-out survey as a source of chunks of 512 rows.

    Raises:
        InputError: options of the simulated survey only are set, or spec has a band without a filter curve.
    """
    if config.variety.scale or config.contaminant_fraction:
        raise InputError("--source holdout has no variety and no contaminants: leave these options out.")
    camera.effective_gain(spec)  # raises for an unknown band before workers start
    starts = range(0, config.galaxies, CHUNK_ROWS)
    return Source(
        name=NAME,
        spec=spec,
        provenance={"source": NAME, "version": VERSION, **recorded(config)},
        chunks=[{"start": s, "stop": min(s + CHUNK_ROWS, config.galaxies)} for s in starts],
        read=partial(read_chunk, config=config, spec=spec),
        truth_schema=truth_schema(spec.bands),
    )


def read_chunk(chunk: Chunk, config: SimulationConfig, spec: SurveySpec) -> ChunkRead:
    """Simulate rows start to stop - 1. Redshifts with ZWARN are removed and reported."""
    result = ChunkRead()
    for row in range(chunk["start"], chunk["stop"]):
        galaxy, truth = simulate_row(row, config, spec)
        where = f"hold-out seed {config.seed}, row {row}"
        if galaxy.redshift is not None and truth["zwarn"] != 0:
            reason = f"ZWARN={truth['zwarn']}: z={galaxy.redshift:.4f}; the row is kept without a label"
            result.rejections.append(Rejection(galaxy.object_id, where, "redshift", reason))
            galaxy.redshift = galaxy.redshift_err = None
        result.galaxies.append(galaxy)
        result.where.append(where)
        result.truth.append(truth)
    return result


def simulate_row(row: int, config: SimulationConfig, spec: SurveySpec) -> tuple[Galaxy, dict[str, Any]]:
    """One row as observed (flagged redshifts included) and its row of the truth table."""
    rng = np.random.default_rng([config.seed, STREAM, row])
    paired, labelled = rng.random() < config.paired_fraction, rng.random() < config.labelled_fraction
    ra, dec = (rng.uniform(*limits) for limits in SKY_PATCH)
    drawn = population.draw(rng)
    reddening = draw_galactic_reddening(rng)
    sed_P, widths_E, flux_E = _spectra(rng, drawn, reddening)
    mag_PC = np.stack([ab_magnitude(sed, drawn.redshift, spec.bands) for sed in sed_P])
    mag_C = -2.5 * np.log10((10 ** (-0.4 * mag_PC)).sum(axis=0))
    label = labels.measure_redshift(rng, drawn.target_class, drawn.redshift)

    fwhm_C, beta = _draw_seeing(rng, spec.bands), float(rng.uniform(*BETA_RANGE))
    noise_C = np.array(spec.band_noise) * rng.lognormal(0, DEPTH_SCATTER)
    middle = (spec.image_size - 1) / 2
    centre = tuple(middle + rng.uniform(-CENTRING_ERROR, CENTRING_ERROR, 2))
    counts_PC = 10 ** (0.4 * (spec.zero_point - mag_PC))
    placed = [images.Placed(p.light, c, centre) for p, c in zip(drawn.parts, counts_PC, strict=True)]
    neighbours = _draw_neighbours(rng, spec, config.field_density)
    image_CHW = images.render(placed + neighbours, fwhm_C, beta, spec.image_size, spec.pixel_scale)

    fibre_P = [
        images.fibre_fraction(p.light, camera.FIBRE_DIAMETER, camera.FIBRE_SEEING, camera.MOFFAT_BETA)
        for p in drawn.parts
    ]
    observed_CHW = images.add_noise(rng, image_CHW, noise_C, camera.effective_gain(spec))
    measured_C = _measured(rng, mag_C, drawn.radius, fwhm_C, noise_C, spec)
    spectrum = None
    if paired:
        time = spectrograph.BRIGHT_TIME if drawn.target_class == "BGS" else spectrograph.DARK_TIME
        spectrum = spectrograph.observe(rng, list(zip(sed_P, fibre_P, strict=True)), drawn.redshift, spec, time)
    share_P = 10 ** (-0.4 * (mag_PC - mag_C)).mean(axis=1)
    galaxy = Galaxy(
        object_id=f"holdout-{config.seed}-{row:07d}",
        ra=ra,
        dec=dec,
        targetid=FIRST_TARGETID + (config.seed % 10**9) * 10**9 + row if paired or labelled else None,
        redshift=label.redshift if labelled else None,
        redshift_err=label.error if labelled else None,
        image_CHW=observed_CHW,
        flux_L=spectrum.flux_L if spectrum else None,
        ivar_L=spectrum.ivar_L if spectrum else None,
        cmodel_mag_C=measured_C,
        morphtype=_tractor_type(drawn),
    )
    truth = dict.fromkeys(truth_schema(spec.bands).names) | {
        "object_id": galaxy.object_id,
        "target_class": drawn.target_class,
        "galaxy_type": drawn.shape,
        "zwarn": label.zwarn,
        "catastrophic": label.wrong,
        "redshift_true": drawn.redshift,
        "redshift_measured": label.redshift,
        "absolute_mag_r": drawn.absolute_mag_r,
        "half_light_radius": drawn.radius,
        "attenuation_v": drawn.parts[-1].attenuation_v,
        "galactic_reddening": reddening,
        "velocity_dispersion": drawn.dispersion,
        "fibre_fraction": float(share_P @ fibre_P),
        "n_neighbours": len(neighbours),
        "n_stars": 0,
    }
    for c, band in enumerate(spec.bands):
        truth[f"{band}_mag"], truth[f"{band}_seeing"] = float(mag_C[c]), float(fwhm_C[c])
    for e, name in enumerate(LINE_NAMES):
        truth[f"{name}_ew"], truth[f"{name}_flux"] = float(widths_E[e]), float(flux_E[e])
    return galaxy, truth


def _spectra(
    rng: np.random.Generator, drawn: population.Drawn, reddening: float
) -> tuple[list[Sed], np.ndarray, np.ndarray]:
    """SEDs of the parts at the magnitude of the galaxy, behind Galactic dust, and widths and fluxes (E,) of its lines.

    Widths are relative to the continuum of the whole galaxy.
    """
    sed_P = [
        scaled(templates.stellar(p.spectral_type, p.young_share, p.attenuation_v, drawn.dispersion), p.share)
        for p in drawn.parts
    ]
    whole = dataclasses.replace(sed_P[0], continuum_W=sum(sed.continuum_W for sed in sed_P))
    last = drawn.parts[-1]
    widths_E = templates.emission_widths(rng, whole, last.spectral_type, drawn.log_mass, last.attenuation_v)
    with_lines, flux_E = templates.with_lines(whole, widths_E)
    sed_P[-1] = dataclasses.replace(
        sed_P[-1], line_wavelength_J=with_lines.line_wavelength_J, line_flux_J=with_lines.line_flux_J
    )
    band = population.BANDS[drawn.target_class]
    flux = sum(10 ** (-0.4 * ab_magnitude(sed, drawn.redshift, (band,))[0]) for sed in sed_P)
    factor = 10 ** (-0.4 * drawn.magnitude) / flux
    stretch = 1 + drawn.redshift
    dimmed_P = [
        dataclasses.replace(
            sed,
            continuum_W=sed.continuum_W * factor * galactic_transmission(sed.wavelength_W * stretch, reddening),
            line_flux_J=sed.line_flux_J * factor * galactic_transmission(sed.line_wavelength_J * stretch, reddening),
        )
        for sed in sed_P
    ]
    return dimmed_P, widths_E, flux_E * factor * galactic_transmission(WIDTH_WAVELENGTH_E * stretch, reddening)


def _draw_neighbours(rng: np.random.Generator, spec: SurveySpec, density: float) -> list[images.Placed]:
    """Field galaxies: exponential disks of a random type at random positions."""
    area = (spec.image_size * spec.pixel_scale / 60) ** 2
    placed = []
    for _ in range(rng.poisson(density * area * galaxies_per_square_arcmin(FAINT))):
        magnitude = draw_field_magnitude(rng)
        redshift = draw_field_redshift(rng, magnitude)
        sed = templates.stellar(rng.uniform(0, templates.LAST_TYPE), 0.0, rng.exponential(0.3), 100.0)
        mag_C = ab_magnitude(sed, redshift, (*spec.bands, "i"))
        mag_C = mag_C[:-1] - mag_C[-1] + magnitude
        radius = 0.5 * 10 ** (-0.1 * (magnitude - 22.0)) * rng.lognormal(0, 0.4)  # arcsec; 0.3 to 0.5 at 22 to 24
        light = images.Light(1.0, radius, rng.uniform(0.3, 1.0), rng.uniform(0, np.pi))
        centre = tuple(rng.uniform(-0.5, spec.image_size - 0.5, 2))
        placed.append(images.Placed(light, 10 ** (0.4 * (spec.zero_point - mag_C)), centre))
    return placed


def _draw_seeing(rng: np.random.Generator, bands: tuple[str, ...]) -> np.ndarray:
    """Seeing FWHM (C,) in arcsec: one atmosphere, and 5% between bands."""
    colour_C = np.array([(EFFECTIVE[b] / EFFECTIVE["r"]) ** SEEING_EXPONENT for b in bands])
    return SEEING * rng.lognormal(0, SEEING_SCATTER) * colour_C * rng.lognormal(0, 0.05, len(bands))


def _measured(
    rng: np.random.Generator,
    mag_C: np.ndarray,
    radius: float,
    fwhm_C: np.ndarray,
    noise_C: np.ndarray,
    spec: SurveySpec,
) -> np.ndarray:
    """Catalogue magnitudes (C,): errors of the model, and noise in an aperture; NaN if not detected."""
    counts_C = 10 ** (0.4 * (spec.zero_point - mag_C))
    aperture_C = np.pi * (radius**2 + fwhm_C**2) / spec.pixel_scale**2  # pixels
    error_C = np.sqrt(aperture_C * noise_C**2 + counts_C / camera.effective_gain(spec))
    model_C = MODEL_ERROR * rng.standard_normal() + BAND_ERROR * rng.standard_normal(mag_C.size)
    measured_C = counts_C * 10 ** (-0.4 * model_C) + error_C * rng.standard_normal(mag_C.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(measured_C > 0, spec.zero_point - 2.5 * np.log10(measured_C), np.nan).astype(np.float32)


def _tractor_type(drawn: population.Drawn) -> str:
    """Morphological type as Tractor would give it (Dey+2019)."""
    if drawn.radius < 0.4:
        return "REX"
    return {"elliptical": "DEV", "irregular": "EXP"}.get(drawn.shape, "SER")
