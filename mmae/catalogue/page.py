"""The page of a finished catalogue: counts, redshifts, sky map, examples, the most unusual galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmae.bundle.bundle import Bundle
from mmae.bundle.predictions import MEANING, NO_WARNINGS, Flag
from mmae.catalogue.config import PredictConfig
from mmae.catalogue.figures import image_figure, redshift_figure, sky_figure
from mmae.catalogue.hats_files import DATASET
from mmae.catalogue.partitions import Counts
from mmae.catalogue.source import Input
from mmae.catalogue.summary import Example, Summary
from mmae.catalogue.survey_rows import read_measurements
from mmae.core.provenance import provenance_line
from mmae.report.contents import Column, Drawing, Section, Table
from mmae.report.save import save_report
from mmae.survey.schema import SurveySpec

FOLDER = "report"


def write_page(
    folder: Path, out: Path, config: PredictConfig, bundle: Bundle, given: Input, summary: Summary, counts: Counts
) -> Path:
    """Write the page into the folder of the catalogue in progress, and return its path.

    Args:
        out: the final folder of the catalogue, which is named on the page.
    """
    n_bytes = sum(path.stat().st_size for path in (folder / DATASET).rglob("*.parquet"))
    facts = {
        "catalogue": str(out),
        "model": f"{config.model}, sha256 of the weights {bundle.hash}",
        "input": f"{given.path}, {given.rows:,} rows; used: {', '.join(given.modalities)}",
        "size": f"{n_bytes / 1e6:,.1f} MB, {n_bytes / summary.rows:,.0f} bytes per galaxy",
        "provenance": provenance_line(data=given.content.split()[0]),
    }
    sections = [_counts(summary, given, warnings=bundle.limits is not None), _redshifts(summary), _sky(counts)]
    sections += _images(summary, given)
    return save_report(folder / FOLDER, f"Catalogue {out.name}", facts, sections, "mmae-catalogue-page-1")


def _counts(summary: Summary, given: Input, warnings: bool) -> Section:
    columns = (Column("what"), Column("galaxies"))
    kept = (
        ("rows of the input", given.rows),
        ("in the catalogue", summary.rows),
        ("rejected rows", summary.rows_rejected),
        ("in the training set, as far as known", summary.in_training),
    )
    flags = tuple((name, n, MEANING[Flag[name]]) for name, n in summary.flags.items())
    title, note = "Flags: bits of mmae_flags", "" if warnings else NO_WARNINGS
    tables = [Table("rows", "Rows", columns, kept), Table("flags", title, (*columns, Column("meaning")), flags, note)]
    if summary.rejected:
        reasons = (Column("field_and_reason", "field and reason"), Column("number"))
        tables.append(
            Table(
                "rejected",
                "Rejected rows and fields",
                reasons,
                tuple(summary.rejected.most_common()),
                "A galaxy of which one modality was rejected is in the catalogue if it has another one.",
            )
        )
    return Section("counts", "Counts", "", tuple(tables))


def _redshifts(summary: Summary) -> Section:
    caption = "Medians of p(z) in equal bins of ln(1+z), and their uncertainty. The last bins include larger values."
    return Section("redshifts", "Redshifts", "", drawings=(Drawing("redshifts", caption, redshift_figure(summary)),))


def _sky(counts: Counts) -> Section:
    caption = "Galaxies of the catalogue over the sky, in HEALPix pixels."
    return Section("sky", "Sky", "", drawings=(Drawing("sky", caption, sky_figure(counts)),))


def _images(summary: Summary, given: Input) -> list[Section]:
    if "image" not in given.modalities:
        return []
    shown = (
        ("examples", "First galaxies", "The first galaxies of the input.", summary.examples),
        (
            "anomalies",
            "Most unusual galaxies",
            "The largest anomaly scores: reconstruction error of hidden parts in units of the noise.",
            summary.anomalies,
        ),
    )
    return [
        Section(
            name,
            title,
            "",
            drawings=(Drawing(name, caption, image_figure(examples, read_images(examples, given.spec), given.spec)),),
        )
        for name, title, caption, examples in shown
        if examples
    ]


def read_images(examples: Sequence[Example], spec: SurveySpec) -> list[np.ndarray | None]:
    """The images (C, H, W) of galaxies; None where there is none."""
    return [read_measurements(example.path, example.row, spec, ("image",)).image_CHW for example in examples]
