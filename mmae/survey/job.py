"""The job behind ray_jobs/build_survey.py: choose sources, build, summarise, draw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from mmae.errors import InputError
from mmae.evaluation.contact_sheet import MAX_IMAGES, MAX_SPECTRA, contact_sheet
from mmae.evaluation.style import save_figure, short_name
from mmae.ray_setup import start_ray
from mmae.survey.build import SplitConfig, build_survey
from mmae.survey.readers.desi import desi_source
from mmae.survey.readers.galaxiesml import galaxiesml_source
from mmae.survey.readers.hsc import hsc_source
from mmae.survey.schema import SPLITS, SurveySpec
from mmae.survey.simulation.source import SimulationConfig, simulation_source
from mmae.survey.source import Source
from mmae.survey.store import Survey
from mmae.survey.stream import CollateGalaxies

SourceName = Literal["simulated", "galaxiesml", "desi", "hsc"]
CONTACT_SHEET = "contact_sheet.png"


@dataclass(frozen=True)
class BuildConfig:
    """What to read and where to write."""

    out: Path
    """Folder of the new survey; must be empty or absent."""
    source: tuple[SourceName, ...] = ("simulated",)
    """One or more of simulated, galaxiesml, desi, hsc; several are put together."""
    galaxiesml: Path | None = None
    """GalaxiesML-Spectra HDF5 file (Zenodo 16989593)."""
    desi: tuple[Path, ...] = ()
    """DESI tile or healpix coadds."""
    redshifts: tuple[Path, ...] = ()
    """Redrock files, or any FITS table with TARGETID and Z, for the DESI coadds."""
    hsc: tuple[Path, ...] = ()
    """HSC cutouts: .npz archives, FITS files or folders of them."""
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    split: SplitConfig = field(default_factory=SplitConfig)


def build_job(config: BuildConfig, console: Console | None = None) -> Survey:
    """Build the survey, print its summary and save a contact sheet.

    Raises:
        InputError: a source lacks its files, or its files are wrong as a whole.
    """
    console = console or Console()
    sources = [_source(name, config) for name in config.source]
    start_ray()
    survey = build_survey(sources, config.out, config.split)
    sheet = save_contact_sheet(survey)
    print_summary(survey, console)
    console.print(f"survey        {survey.path}\ncontact sheet {sheet}", highlight=False, soft_wrap=True)
    return survey


def build_simulated(simulation: SimulationConfig, out: Path) -> Survey:
    """A simulated survey on the default grid, with its contact sheet."""
    survey = build_survey([simulation_source(simulation, SurveySpec())], out)
    save_contact_sheet(survey)
    return survey


def _source(name: SourceName, config: BuildConfig) -> Source:
    if name == "simulated":
        return simulation_source(config.simulation, SurveySpec())
    if name == "galaxiesml":
        return galaxiesml_source(_given(config.galaxiesml, "galaxiesml"))
    if name == "desi":
        return desi_source(list(_given(config.desi, "desi")), list(config.redshifts))
    return hsc_source(list(_given(config.hsc, "hsc")))


def _given(value, option: str):
    if not value:
        raise InputError(f"--source {option} needs its files: give --{option} PATH.")
    return value


def print_summary(survey: Survey, console: Console) -> None:
    """Counts per split and modality, the redshift range, and what was set aside and why."""
    keys = ("galaxies", "images", "spectra", "paired", "redshifts")
    table = Table(title="survey", title_justify="left")
    table.add_column("split")
    for key in (*keys, "redshift range"):
        table.add_column(key, justify="right")
    for split in SPLITS:
        counts = survey.counts[split]
        span = "-"
        if counts["redshifts"]:
            span = "{redshift_min:.2f} .. {redshift_max:.2f}".format(**counts)
        table.add_row(split, *(f"{int(counts[key]):,}" for key in keys), span)
    console.print(table)
    for split in SPLITS:
        if not survey.counts[split]["galaxies"]:
            console.print(f"warning: the {split} split is empty; training needs all three.", style="bold")
    rejected = pq.read_table(survey.path / "rejected.parquet").to_pylist()
    whole_list = survey.path / "rejected.parquet"
    console.print(f"set aside     {len(rejected)}  (list: {whole_list})", highlight=False, soft_wrap=True)
    reasons = Counter((r["field"], _without_numbers(r["reason"])) for r in rejected)
    for (field_name, reason), n in reasons.most_common():
        console.print(f"  {n:>6}  {field_name}: {reason}", highlight=False, soft_wrap=True)


def _without_numbers(reason: str) -> str:
    """Reasons that differ in a value only are one reason."""
    return " ".join("#" if any(c.isdigit() for c in word) else word for word in reason.split())


def save_contact_sheet(survey: Survey) -> Path:
    """Draw the first galaxies of the survey's shards into contact_sheet.png."""
    titles, images, fluxes, ivars, redshifts = [], [], [], [], []
    n_images = n_spectra = 0
    for shard in survey.shards:
        batch = CollateGalaxies(survey.spec)(pq.read_table(survey.path / shard.path).slice(0, MAX_IMAGES))
        for i in range(len(batch)):
            image, spectrum = bool(batch.image_present_B[i]), bool(batch.spectrum_present_B[i])
            if not ((image and n_images < MAX_IMAGES) or (spectrum and n_spectra < MAX_SPECTRA)):
                continue
            n_images, n_spectra = n_images + image, n_spectra + spectrum
            z = float(batch.redshift_B[i]) if batch.redshift_known_B[i] else np.nan
            titles.append(short_name(batch.object_id[i]) + ("" if np.isnan(z) else f"\nz = {z:.3f}"))
            images.append(batch.image_BCHW[i].numpy())
            fluxes.append(batch.flux_BL[i].numpy())
            ivars.append(batch.ivar_BL[i].numpy())
            redshifts.append(z)
        if n_images >= MAX_IMAGES and n_spectra >= MAX_SPECTRA:
            break
    # Galaxies with an image come first: the sheet has room for so many only.
    order = np.argsort([not image.any() for image in images], kind="stable")
    figure = contact_sheet(
        np.stack(images)[order],
        (survey.spec.wavelength_L(), np.stack(fluxes)[order], np.stack(ivars)[order]),
        [titles[i] for i in order],
        survey.spec,
        redshift_N=np.array(redshifts)[order],
    )
    return save_figure(figure, survey.path / CONTACT_SHEET)
