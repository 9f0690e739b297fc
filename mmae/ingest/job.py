"""The job of ray_jobs/build_survey.py: choose the sources, build, print a summary, plot the contact sheet."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from mmae.core.errors import InputError
from mmae.core.ray_setup import start_ray
from mmae.core.terminal import terminal
from mmae.ingest.build import build_survey, provenance
from mmae.ingest.config import OWN_SOURCES, BuildConfig
from mmae.ingest.contact_sheet import save_contact_sheet
from mmae.ingest.pairing.source import paired_source, plan_folder
from mmae.ingest.readers.desi import desi_source
from mmae.ingest.readers.galaxiesml import galaxiesml_source
from mmae.ingest.readers.hsc import hsc_source
from mmae.ingest.resume import REJECTED
from mmae.ingest.sources.description import known_names
from mmae.ingest.sources.grid import GridConfig
from mmae.ingest.sources.index import FILE
from mmae.ingest.sources.source import source_of
from mmae.simulation.holdout.source import holdout_source
from mmae.simulation.source import simulation_source
from mmae.survey.schema import SPLITS, SurveySpec
from mmae.survey.source import Source
from mmae.survey.splits import FAR_FROM_FRACTION, far_from_fractions
from mmae.survey.store import MANIFEST, Survey, open_survey
from mmae.survey.strata import MOST_SIGMA, STRATA, shares

DAMAGED_STATUS = 3  # exit status of a build that skipped whole files
IMAGE_SIZES = (64, 127)  # of the two files of GalaxiesML-Spectra


def build_job(config: BuildConfig, console: Console | None = None) -> Survey:
    """Build the survey, print its summary and save a contact sheet.

    With `config.report`, a survey that is already built is opened instead.

    Raises:
        InputError: options contradict each other, a source has no files, or its files are
            invalid as a whole.
    """
    _check(config)
    console = console or terminal()
    if set(config.source) - (set(OWN_SOURCES) - {"paired"}):
        start_ray()
    sources = _with_common_columns([_source(name, config) for name in config.source])
    survey = _built_survey(config, sources) if config.report else None
    if survey is None:
        start_ray()
        survey = build_survey(sources, config.out, config.split, config.workers)
        shutil.rmtree(plan_folder(config.out), ignore_errors=True)
        sheet = save_contact_sheet(survey)
        print_summary(survey, console)
        console.print(f"survey        {survey.path}", highlight=False, soft_wrap=True)
        if sheet:
            console.print(f"contact sheet {sheet}", highlight=False, soft_wrap=True)
    return survey


def damaged_files(survey: Survey) -> list[dict[str, str]]:
    """The input files that could not be read in the build: object_id, where, field and reason."""
    return [r for r in pq.read_table(survey.path / REJECTED).to_pylist() if r["field"] == FILE]


def _check(config: BuildConfig) -> None:
    if config.image_size not in IMAGE_SIZES:
        raise InputError(f"--image-size is {config.image_size}; give 64 or 127.")
    known = [name for name in config.source if name not in OWN_SOURCES]
    if config.inputs and not known:
        raise InputError(f"--inputs are files of a known source, but --source is {' '.join(config.source)}.")
    if config.grid != GridConfig() and not (known or config.pair.sources):
        raise InputError(
            "--grid is for known sources (docs/surveys.md): leave it out; --image-size is for simulations."
        )
    if config.report and "simulated" not in config.source:
        raise InputError(
            f"--report needs simulated galaxies, but --source is {' '.join(config.source)}: "
            f"leave --report out, or add simulated to --source."
        )
    if config.reference is not None and not config.report:
        raise InputError("--reference is used by the report only: add --report, or leave --reference out.")
    if config.reference is not None and not config.reference.expanduser().is_dir():
        raise InputError(f"--reference {config.reference}: no such folder.")


def _built_survey(config: BuildConfig, sources: list[Source]) -> Survey | None:
    """The survey in the folder --out; None if there is none.

    Raises:
        InputError: it was built with other options.
    """
    out = config.out.expanduser()
    if not (out / MANIFEST).is_file():
        return None
    survey = open_survey(out)
    requested = _through_json(provenance(sources, config.split)) | {"spec": _through_json(asdict(sources[0].spec))}
    recorded = survey.provenance | {"spec": _through_json(asdict(survey.spec))}
    recorded["split"] = {"nside": 0} | recorded.get("split", {})  # surveys without nside were divided by group
    differences = _differences(recorded, requested)
    if differences:
        raise InputError(
            f"{out}: the survey was built with other options ({'; '.join(differences)}). Give the "
            f"same options, or choose another --out."
        )
    return survey


def _through_json(values: dict[str, Any]) -> dict[str, Any]:
    """The values after a JSON round trip: tuples become lists."""
    return json.loads(json.dumps(values))


def _differences(recorded: Any, requested: Any, name: str = "") -> list[str]:
    """Differences of two trees of plain values: "sources.0.seed is 1, requested 0"."""
    if isinstance(recorded, list) and isinstance(requested, list) and len(recorded) == len(requested):
        recorded, requested = (dict(enumerate(values)) for values in (recorded, requested))
    if not (isinstance(recorded, dict) and isinstance(requested, dict)):
        return [] if recorded == requested else [f"{name} is {recorded}, requested {requested}"]
    keys = list(dict.fromkeys([*recorded, *requested]))
    parts = [_differences(recorded.get(k), requested.get(k), f"{name}.{k}" if name else str(k)) for k in keys]
    return [difference for part in parts for difference in part]


def _with_common_columns(sources: list[Source]) -> list[Source]:
    """The sources with the extra columns of all of them, so that their shards have one schema."""
    columns = tuple(dict.fromkeys(column for source in sources for column in source.spec.extra_columns))
    return [replace(source, spec=replace(source.spec, extra_columns=columns)) for source in sources]


def _inputs(name: str, config: BuildConfig) -> list[str]:
    """The patterns of one known source.

    Raises:
        InputError: it has none.
    """
    named = [item.removeprefix(f"{name}=") for item in config.inputs if item.startswith(f"{name}=")]
    known = [other for other in config.source if other not in OWN_SOURCES]
    found = named or (list(config.inputs) if len(known) == 1 else [])
    if not found:
        how = f"--inputs {name}=PATTERN for each source" if len(known) > 1 else "--inputs PATTERN"
        raise InputError(f"--source {name} needs files: give {how}.")
    return found


def _source(name: str, config: BuildConfig) -> Source:
    if name == "simulated":
        return simulation_source(config.simulation, SurveySpec(image_size=config.image_size))
    if name == "holdout":
        return holdout_source(config.simulation, SurveySpec(image_size=config.image_size))
    if name == "galaxiesml":
        return galaxiesml_source(_required(config.galaxiesml, "galaxiesml"))
    if name == "desi":
        return desi_source(list(_required(config.desi, "desi")), list(config.redshifts))
    if name == "paired":
        return paired_source(config.pair, config.out, config.workers, config.grid)
    if name == "hsc":
        return hsc_source(list(_required(config.hsc, "hsc")))
    if name not in known_names() and not name.endswith((".yaml", ".yml")):
        raise InputError(
            f"--source {name}: no such source. Choose from {', '.join((*OWN_SOURCES, *known_names()))}, or give a YAML "
            f"file that describes another one (docs/surveys.md)."
        )
    return source_of(name, _inputs(name, config), config.grid, config.redshifts, config.workers)


def _required(value, option: str):
    if not value:
        raise InputError(f"--source {option} needs files: give --{option} PATH.")
    return value


def print_summary(survey: Survey, console: Console) -> None:
    """Print counts per split and modality, shares of rare kinds, duplicates, and rejections with their reasons."""
    keys = ("galaxies", "images", "spectra", "paired", "magnitudes", "redshifts")
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
    _print_shares(survey, console)
    incomplete = sum(survey.counts[split].get("incomplete_images", 0) for split in SPLITS)
    if incomplete:
        console.print(
            f"missing       {incomplete:,} images have pixels or bands that were not observed",
            highlight=False,
            soft_wrap=True,
        )
    found = survey.duplicates
    console.print(
        f"duplicates    {found.galaxies:,} galaxies in {found.rows:,} rows, within 1 arcsec or of one targetid; "
        f"{found.moved:,} rows in another split than their cell, so that galaxies and groups have one split "
        f"(largest set: {found.largest:,} rows)",
        highlight=False,
        soft_wrap=True,
    )
    for source in survey.provenance["sources"]:
        for step, n in source.get("flow", ()):
            console.print(f"{n:>12,}  {step}", highlight=False, soft_wrap=True)
    rejected = pq.read_table(survey.path / REJECTED).to_pylist()
    console.print(f"rejected      {len(rejected)}  (list: {survey.path / REJECTED})", highlight=False, soft_wrap=True)
    reasons = Counter((r["field"], _without_numbers(r["reason"])) for r in rejected)
    for (field_name, reason), n in reasons.most_common():
        console.print(f"  {n:>6}  {field_name}: {reason}", highlight=False, soft_wrap=True)
    damaged = damaged_files(survey)
    if damaged:
        console.print(
            f"warning: {len(damaged)} files could not be read and are not in the survey (status {DAMAGED_STATUS}):",
            style="bold",
            soft_wrap=True,
        )
        for file in damaged:
            console.print(f"  {file['where']}: {file['reason']}", highlight=False, markup=False, soft_wrap=True)

    _print_uneven_splits(survey, console)


def _print_uneven_splits(survey: Survey, console: Console) -> None:
    """Print a warning if a split is empty or far from its fraction, with the probable cause."""
    config = survey.provenance["split"]
    rows, fractions = survey.rows_per_split(), config["fractions"]
    if not far_from_fractions(rows, fractions):
        return
    total, linked = sum(rows.values()), survey.duplicates.largest
    parts = [f"{s} {rows[s] / total:.1%} (asked for {f:.1%})" for s, f in zip(SPLITS, fractions, strict=True)]
    empty = [split for split, fraction in zip(SPLITS, fractions, strict=True) if fraction and not rows[split]]
    console.print(
        f"WARNING: the splits are far from their fractions: {', '.join(parts)}."
        + (f" Empty: {', '.join(empty)}; training needs all three." if empty else "")
        + (
            f" {linked:,} rows share one split, because they are linked by group_id, targetid or position: check these "
            f"columns."
            if linked > max(1, FAR_FROM_FRACTION * total)
            else f" The galaxies are in few sky cells: add fields, or give a --split.nside larger than "
            f"{config['nside']}."
        ),
        style="bold red",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _print_shares(survey: Survey, console: Console) -> None:
    """Print the share of rare kinds in each split, and a warning if the splits differ."""
    found = shares(survey.counts)
    for stratum in STRATA:
        known = [s for s in found if s.stratum == stratum and not np.isnan(s.value)]
        text = "   ".join(f"{s.split} {s.value:.1%} ± {s.error:.1%}" for s in known)
        console.print(f"{stratum:13} {text or 'not known for any galaxy'}", highlight=False, soft_wrap=True)
    for s in found:
        if abs(s.sigmas) > MOST_SIGMA:
            console.print(
                f"warning: the share of {s.stratum} in the {s.split} split is {s.sigmas:+.1f} sigma from the "
                f"others; another --split.seed may give equal shares.",
                style="bold",
                soft_wrap=True,
            )


def _without_numbers(reason: str) -> str:
    """A reason with its numbers replaced by #, to count reasons that differ only in a value."""
    return re.sub(r"[^\s;,:]*\d[^\s;,:]*", "#", reason)
