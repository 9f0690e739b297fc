"""Simulated survey: HSC-like images and DESI-like spectra without downloads.

Row i of a seed is the same galaxy for any chunking or number of workers: each row has its own random
generator, seeded with (seed, i). Modules in physical order: `population` (targets), `structure`, `lines`,
`dust`, `seds`, `quasars`, `stars` (profiles and spectra), `sky` (objects), `field` (neighbours), `camera` and
`spectrograph` (observation), `labels` (measured redshift).

`variety` widens what is calibrated, `contaminants` are rows that are not galaxies; both are off by default.

Not simulated: weak lensing, spiral arms and clumps, blended spectra, absorption lines narrower than
257 km/s, damped Lyman-alpha systems.

Shape suffixes: C bands, E the widths of `lines.LINE_NAMES`, H and W pixels, L wavelength samples,
P components.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mmae.astro.lines import WIDTH_WAVELENGTH_E
from mmae.simulation import camera, contaminants, labels, spectrograph
from mmae.simulation.config import VERSION, SimulationConfig, recorded
from mmae.simulation.dust import draw_galactic_reddening, galactic_transmission
from mmae.simulation.field import FIELD_BAND, FieldObject, draw_blend, draw_field, draw_field_target
from mmae.simulation.population import BGS, MAIN, Target, draw_target
from mmae.simulation.sky import SkyObject, behind_dust, target_object, total_magnitudes
from mmae.simulation.structure import POINT_SOURCE, Structure, tractor_type
from mmae.simulation.truth import contaminant_row, truth_row, truth_schema
from mmae.simulation.variety import Draws, draw_variety, varied_target
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

CHUNK_ROWS = 512
SKY_PATCH = ((149.0, 151.5), (1.0, 3.5))  # degrees of ra and dec: the HSC COSMOS field
BRIGHT_PROGRAM = (MAIN, BGS)  # classes of the DESI bright-time program
VARIETY_STREAM, CONTAMINANT_STREAM = 2, 3  # random generators of a row, in addition to (seed, row)
CENTRING_ERROR = 0.5  # pixels, maximum per axis: cutouts start at whole pixels


@dataclass(frozen=True)
class RowLight:
    """What is at the place of one row, before the camera and the spectrograph, and what was drawn for the row.

    `rng` is the generator of the row after these draws, `other_rng` that of contaminants and blends.
    """

    rng: np.random.Generator
    other_rng: np.random.Generator
    paired: bool
    labelled: bool
    position: tuple[float, float]  # ra and dec, degrees
    draws: Draws
    kind: str | None  # of contaminant
    target: Target
    sky_object: SkyObject  # with Galactic extinction
    line_flux_E: np.ndarray  # 1e-17 erg/s/cm2
    reddening: float  # Galactic E(B-V)


@dataclass(frozen=True)
class Truth:
    """Noise-free version of a simulated row."""

    target: Target
    sky_object: SkyObject  # observed flux in 1e-17 erg/s/cm2/A, with Galactic extinction, before fibre losses
    mag_PC: np.ndarray  # AB, total, of each component
    mag_C: np.ndarray  # AB, total
    fwhm_C: np.ndarray  # seeing, arcsec
    image_CHW: np.ndarray  # counts, including field objects
    flux_L: np.ndarray | None  # 1e-17 erg/s/cm2/A, after fibre losses; None without a spectrum
    label: labels.Label
    row: dict[str, Any]  # of the truth table


def simulation_source(config: SimulationConfig, spec: SurveySpec) -> Source:
    """The simulated survey as a source of chunks of 512 rows.

    Raises:
        InputError: spec names a band that has no HSC filter curve.
    """
    camera.effective_gain(spec)  # raises for an unknown band before workers start
    starts = range(0, config.galaxies, CHUNK_ROWS)
    return Source(
        name="simulation",
        spec=spec,
        provenance={"source": "simulation", "version": VERSION, **recorded(config)},
        chunks=[{"start": s, "stop": min(s + CHUNK_ROWS, config.galaxies)} for s in starts],
        read=partial(read_chunk, config=config, spec=spec),
        truth_schema=truth_schema(spec.bands, config.contaminant_fraction > 0),
    )


def read_chunk(chunk: Chunk, config: SimulationConfig, spec: SurveySpec) -> ChunkRead:
    """Simulate rows start to stop - 1. Redshifts with ZWARN are removed and reported, as in the DESI reader."""
    result = ChunkRead()
    for row in range(chunk["start"], chunk["stop"]):
        galaxy, truth = simulate_galaxy(row, config, spec)
        where = f"simulation seed {config.seed}, row {row}"
        if galaxy.redshift is not None and truth.label.zwarn != 0:
            reason = (
                f"ZWARN={truth.label.zwarn}: z={galaxy.redshift:.4f} is flagged by redrock; "
                f"the row is kept without a label"
            )
            result.rejections.append(Rejection(galaxy.object_id, where, "redshift", reason))
            galaxy.redshift = galaxy.redshift_err = None
        result.galaxies.append(galaxy)
        result.where.append(where)
        result.truth.append(truth.row)
    return result


def draw_light(row: int, config: SimulationConfig, n_bands: int) -> RowLight:
    """The object of one row. Fast: no image and no spectrum is made."""
    rng = np.random.default_rng([config.seed, row])
    # Drawn first: changing a fraction removes spectra or redshifts and changes nothing else.
    paired = rng.random() < config.paired_fraction
    labelled = rng.random() < config.labelled_fraction
    (ra_low, ra_high), (dec_low, dec_high) = SKY_PATCH
    position = rng.uniform(ra_low, ra_high), rng.uniform(dec_low, dec_high)

    draws = draw_variety(np.random.default_rng([config.seed, row, VARIETY_STREAM]), config.variety, n_bands)
    other_rng = np.random.default_rng([config.seed, row, CONTAMINANT_STREAM])
    kind = contaminants.draw_kind(other_rng, config.contaminant_fraction, paired)

    target = varied_target(draw_field_target(rng) if draws.field_target else draw_target(rng), draws)
    emitted, line_flux_E = target_object(rng, target, draws)
    emitted = contaminants.replaced_object(other_rng, kind, emitted)
    reddening = draw_galactic_reddening(rng)
    sky_object = behind_dust(emitted, reddening)
    line_flux_E *= galactic_transmission(WIDTH_WAVELENGTH_E * (1 + target.redshift), reddening)
    return RowLight(rng, other_rng, paired, labelled, position, draws, kind, target, sky_object, line_flux_E, reddening)


def simulate_galaxy(row: int, config: SimulationConfig, spec: SurveySpec) -> tuple[Galaxy, Truth]:
    """One row as observed (flagged redshifts included) and its truth."""
    light = draw_light(row, config, len(spec.bands))
    rng, draws, kind, target, sky_object = light.rng, light.draws, light.kind, light.target, light.sky_object
    structure = target.galaxy.structure if target.galaxy is not None else Structure(1.0, POINT_SOURCE, POINT_SOURCE)
    mag_PC = sky_object.magnitudes_PC(spec.bands)
    mag_C = total_magnitudes(mag_PC)
    label = labels.measure_redshift(rng, target.target_class.name, target.redshift)
    morphtype = tractor_type(rng, structure)

    noisy_spec = observed_spec(spec, draws)
    fwhm_C = camera.draw_seeing(rng, spec.bands) * draws.seeing_factor
    middle = (spec.image_size - 1) / 2
    centre = tuple(middle + rng.uniform(-CENTRING_ERROR, CENTRING_ERROR, 2) + draws.offset)
    field = draw_field(rng, spec, config.field_density, light.reddening)
    if draws.blend is not None:
        x, y, fainter = draws.blend
        i_mag = total_magnitudes(sky_object.magnitudes_PC((FIELD_BAND,)))[0]
        field.append(draw_blend(light.other_rng, (x, y), i_mag + fainter, centre, spec, light.reddening))
    profiles = _placed_profiles(sky_object, mag_PC, centre, spec) + _field_profiles(field, spec)
    image_CHW = camera.render(profiles, fwhm_C, spec.image_size, spec.pixel_scale, draws.psf)
    if draws.zero_point_C is not None:
        image_CHW *= 10 ** (-0.4 * draws.zero_point_C)[:, None, None]
    observed_CHW = camera.add_noise(rng, image_CHW, noisy_spec, draws.warp_weight)
    radius = structure.half_light_radius()
    zero_point_C = 0.0 if draws.zero_point_C is None else draws.zero_point_C
    measured_C = camera.measure_magnitude(rng, mag_C + zero_point_C, radius, fwhm_C, noisy_spec)

    fibre_P = [camera.fibre_fraction(c.profile) for c in sky_object.components]
    spectrum = None
    if light.paired:
        in_fibre = list(zip((c.sed for c in sky_object.components), fibre_P, strict=True))
        time = spectrograph.BRIGHT_TIME if target.target_class in BRIGHT_PROGRAM else spectrograph.DARK_TIME
        spectrum = spectrograph.observe(rng, in_fibre, sky_object.redshift, spec, time, draws.calibration)
    galaxy = Galaxy(
        object_id=f"sim-{config.seed}-{row:07d}",
        ra=light.position[0],
        dec=light.position[1],
        targetid=_target_id(config.seed, row) if light.paired or light.labelled else None,
        redshift=label.redshift if light.labelled else None,
        redshift_err=label.error if light.labelled else None,
        image_CHW=observed_CHW,
        flux_L=spectrum.flux_L if spectrum else None,
        ivar_L=spectrum.ivar_L if spectrum else None,
        cmodel_mag_C=measured_C,
        morphtype=morphtype,
    )
    with np.errstate(invalid="ignore"):  # nothing: infinite minus infinite
        # Fraction of the light in each component, mean over the bands.
        share_P = 10 ** (-0.4 * (mag_PC - mag_C)).mean(axis=1)
    table_row = truth_row(
        galaxy.object_id,
        target,
        structure,
        label,
        mag_C,
        fwhm_C,
        spec.bands,
        light.line_flux_E,
        galactic_reddening=light.reddening,
        half_light_radius=radius,
        fibre_fraction=min(float(share_P @ fibre_P), 1.0),
        n_neighbours=sum(not f.is_star for f in field),
        n_stars=sum(f.is_star for f in field),
    )
    if kind is not None:
        _make_contaminant(light.other_rng, kind, galaxy, spec)
        table_row = contaminant_row(table_row, kind, None if kind == contaminants.SKY else sky_object.redshift)
    elif config.contaminant_fraction > 0:
        table_row["kind"] = "quasar" if target.galaxy is None else "galaxy"
    return galaxy, Truth(
        target, sky_object, mag_PC, mag_C, fwhm_C, image_CHW, spectrum.true_L if spectrum else None, label, table_row
    )


def observed_spec(spec: SurveySpec, draws: Draws) -> SurveySpec:
    """The spec with the sky noise of this row."""
    if draws.noise_factor_C is None:
        return spec
    return dataclasses.replace(spec, band_noise=tuple((np.array(spec.band_noise) * draws.noise_factor_C).tolist()))


def _make_contaminant(rng: np.random.Generator, kind: str, galaxy: Galaxy, spec: SurveySpec) -> None:
    """Remove the label and add the defect. Mutates `galaxy`."""
    galaxy.redshift = galaxy.redshift_err = None
    if kind == contaminants.SKY:
        galaxy.morphtype = None
    if kind == contaminants.STAR:
        galaxy.morphtype = "PSF"
    galaxy.image_CHW = contaminants.with_image_defect(rng, kind, galaxy.image_CHW, spec)
    if galaxy.flux_L is not None:
        galaxy.flux_L, galaxy.ivar_L = contaminants.with_spectrum_defect(rng, kind, galaxy.flux_L, galaxy.ivar_L)


def target_image(truth: Truth, spec: SurveySpec, size: int) -> np.ndarray:
    """Noise-free image of the target alone, centred: (C,size,size) counts."""
    middle = (size - 1) / 2
    profiles = _placed_profiles(truth.sky_object, truth.mag_PC, (middle, middle), spec)
    return camera.render(profiles, truth.fwhm_C, size, spec.pixel_scale)


def _target_id(seed: int, row: int) -> int:
    return (seed % 10**9) * 10**9 + row  # fits int64


def _placed_profiles(
    sky_object: SkyObject, mag_PC: np.ndarray, centre: tuple[float, float], spec: SurveySpec
) -> list[camera.PlacedProfile]:
    counts_PC = 10 ** (0.4 * (spec.zero_point - mag_PC))
    return [
        camera.PlacedProfile(c.profile, counts_C, centre)
        for c, counts_C in zip(sky_object.components, counts_PC, strict=True)
    ]


def _field_profiles(field: list[FieldObject], spec: SurveySpec) -> list[camera.PlacedProfile]:
    return [
        profile
        for f in field
        for profile in _placed_profiles(f.sky_object, f.sky_object.magnitudes_PC(spec.bands), f.centre, spec)
    ]
