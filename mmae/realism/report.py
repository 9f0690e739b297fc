"""Realism report: all sections, as tables in the terminal, an HTML page and JSON numbers.

Comparisons and sources of the reference values: docs/realism.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mmae.core.errors import InputError
from mmae.core.folders import home
from mmae.core.provenance import provenance_line, provenance_tags
from mmae.realism import published
from mmae.realism.colours import colour_section
from mmae.realism.examples import example_section
from mmae.realism.images import image_section
from mmae.realism.lines import line_section
from mmae.realism.locus_section import locus_section
from mmae.realism.measures import SpectrumMeasures
from mmae.realism.photometry import photometry_section
from mmae.realism.photoz import photoz_section
from mmae.realism.pixels import pixel_section
from mmae.realism.redshifts import redshift_section
from mmae.realism.rows import Track, read_objects, sample_images, spectrum_batches
from mmae.realism.simulator import survey_simulator
from mmae.realism.spectra import join_measures, measure_spectra, spectrum_section
from mmae.report.contents import Section, tally
from mmae.report.save import log_report, save_report
from mmae.report.terminal import print_section
from mmae.survey.store import Survey
from mmae.tracking.runs import open_named_run, tracking_uri

FOLDER = "report"
EXPERIMENT = "surveys"
SEED = 0
MAX_STAMPS, MAX_SPECTRA, EXAMPLE_SPECTRA = 2000, 4000, 600


def write_report(survey: Survey, reference: Path | None, console: Console) -> Path:
    """Compare a survey with real data, write `<survey>/report/` and log it to MLflow.

    Args:
        survey: usually a simulated survey.
        reference: folder of real data (shared/data/galaxies); None: published values only. A missing or damaged
            file leaves out its part of the report.
        console: for tables and progress.

    Returns:
        Path of report.html; figures and report.json are in the same folder.

    Raises:
        InputError: `reference` is not a folder, or the survey is damaged.
    """
    reference = None if reference is None else Path(reference).expanduser().resolve()
    if reference is not None and not reference.is_dir():
        raise InputError(
            f"{reference}: no such folder. Set --reference to the folder of real data, for example "
            f"../shared/data/galaxies, or omit it."
        )
    started = time.monotonic()
    with _progress_bars(console) as track:
        sections, seconds = make_sections(survey, reference, track)
    for section in sections:
        print_section(section, console)
    page = save_survey_report(survey, reference, sections, seconds, time.monotonic() - started)
    judged, met = tally(sections)
    log_survey_report(survey, sections, page)
    console.print(f"\n{met} of {judged} judged rows are within tolerance.", style="bold", highlight=False)
    console.print(f"report        {page}", highlight=False, soft_wrap=True)
    return page


def make_sections(survey: Survey, reference: Path | None, track: Track) -> tuple[list[Section], dict[str, float]]:
    """All sections in order, and seconds per section."""
    objects = read_objects(survey)
    simulator = survey_simulator(survey, objects)
    _, image_SCHW = sample_images(survey, MAX_STAMPS, SEED, published.GALAXIESML_SIZE)
    spec = survey.spec
    spectra = _spectra(survey, track)
    line_spread = None if simulator.value is None else simulator.value.line_spread
    makers: dict[str, Callable[[], Section]] = {
        "pixels": lambda: pixel_section(survey, SEED, track),
        "redshift": lambda: redshift_section(objects, SEED),
        "colours": lambda: colour_section(objects, spec, reference, simulator.value, SEED, track),
        "locus": lambda: locus_section(objects, spec, reference, simulator.value, SEED, track),
        "images": lambda: image_section(image_SCHW, spec, reference, SEED, track),
        "spectra": lambda: spectrum_section(spectra.measures, objects, spec, reference, line_spread),
        "lines": lambda: line_section(objects, reference, SEED),
        "photoz": lambda: photoz_section(objects, reference, SEED),
        "photometry": lambda: photometry_section(objects, spec, simulator, SEED, track),
        "examples": lambda: example_section(image_SCHW, spectra.examples, objects, spec, reference, SEED),
    }
    sections, seconds = [], {}
    for name, make in makers.items():
        started = time.monotonic()
        sections.append(make())
        seconds[name] = round(time.monotonic() - started, 2)
    return sections, seconds


@dataclass(frozen=True)
class _Spectra:
    measures: SpectrumMeasures | None
    examples: tuple[np.ndarray, np.ndarray, np.ndarray] | None  # row_N, flux_NL, ivar_NL


def _spectra(survey: Survey, track: Track) -> _Spectra:
    """One pass over a sample of spectra: measurements of all, and complete spectra for the examples."""
    wavelength_L = survey.spec.wavelength_L()
    measures, examples, n_examples = [], [], 0
    for row_N, flux_NL, ivar_NL in spectrum_batches(survey, MAX_SPECTRA, SEED, track):
        measures.append(measure_spectra(flux_NL, ivar_NL, wavelength_L, row_N))
        if n_examples < EXAMPLE_SPECTRA:
            examples.append((row_N, flux_NL, ivar_NL))
            n_examples += len(row_N)
    if not measures:
        return _Spectra(None, None)
    row_N, flux_NL, ivar_NL = (np.concatenate(column) for column in zip(*examples, strict=True))
    return _Spectra(join_measures(measures), (row_N, flux_NL, ivar_NL))


def save_survey_report(
    survey: Survey, reference: Path | None, sections: list[Section], seconds: dict[str, float], total: float
) -> Path:
    """Write `<survey>/report/` and return the page."""
    facts = {
        "survey": str(survey.path),
        "galaxies": f"{sum(survey.rows_per_split().values()):,}",
        "content hash": survey.content_hash,
        "provenance": provenance_line(data=survey.content_hash),
        "sources": json.dumps(survey.provenance.get("sources", []))[:600],
        "real data": str(reference) if reference is not None else "none",
        "time": f"{total:.0f} s",
    }
    return save_report(
        survey.path / FOLDER,
        f"Simulated against real: {survey.path.name}",
        facts,
        sections,
        "mmae-realism-1",
        seconds=seconds,
    )


def log_survey_report(survey: Survey, sections: list[Section], page: Path) -> None:
    """Log numbers, figures and page of a report to the MLflow run of the survey."""
    params = {key: str(value)[:500] for source in survey.provenance.get("sources", []) for key, value in source.items()}
    tracker, _ = open_named_run(
        tracking_uri(home()), EXPERIMENT, survey.path.name, survey.path, {"content_hash": survey.content_hash, **params}
    )
    tracker.tags(provenance_tags(data=survey.content_hash))
    judged, met = tally(sections)
    tracker.metrics({"judged": judged, "met": met})
    log_report(tracker, sections, page)
    tracker.describe(f"Simulated against real: {met} of {judged} judged rows are within tolerance.")
    tracker.finish()


@contextmanager
def _progress_bars(console: Console) -> Iterator[Track]:
    """A `Track` that shows one transient progress bar at a time."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:

        def track(items: Any, description: str) -> Iterator[Any]:
            task = progress.add_task(description, total=len(items))
            for item in items:
                yield item
                progress.advance(task)
            progress.remove_task(task)

        yield track
