"""Choose the galaxies without a spectrum from which a model would learn most: the job of ray_jobs/follow_up.py.

Shape suffixes: N galaxies of the catalogue, D width of the embedding, T targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

from mmae.bundle.predictions import Flag
from mmae.catalogue.figures import image_figure
from mmae.catalogue.follow_up import Choice, choose_targets, describe_target, pz_width
from mmae.catalogue.follow_up_config import FollowUpConfig
from mmae.catalogue.hats_files import DATASET, METADATA
from mmae.catalogue.page import read_images
from mmae.catalogue.read import read_embeddings, read_format_with_pz, read_partitions
from mmae.catalogue.rows import EMBEDDING, FLAGS, REDSHIFTS, RowFormat
from mmae.catalogue.summary import SHOWN, Example
from mmae.catalogue.survey_rows import FILE, ROW, SurveyRows, read_survey_rows
from mmae.catalogue.table_files import Field, write_list
from mmae.core.errors import InputError
from mmae.core.progress import ProgressBar
from mmae.core.provenance import provenance_line
from mmae.core.terminal import terminal
from mmae.report.contents import Cell, Column, Drawing, Section, Table
from mmae.report.save import save_report
from mmae.survey.schema import SPLITS

STEM, FOLDER = "targets", "report"
COLUMNS = ["object_id", "ra", "dec", *REDSHIFTS, EMBEDDING, FLAGS]
PRINTED = 10  # targets


@dataclass(frozen=True)
class Sample:
    """The galaxies of a catalogue.

    Attributes:
        rows: columns of the catalogue, object_id as text.
        embedding_ND: image embeddings.
        width_N: half width of the 68% interval of p(z) / (1 + z); NaN without p(z).
        known_N: galaxies with a redshift or a spectrum.
        survey_row_N: row of the survey; -1: none.
    """

    rows: pa.Table
    embedding_ND: np.ndarray
    width_N: np.ndarray
    known_N: np.ndarray
    survey_row_N: np.ndarray

    @property
    def candidate_N(self) -> np.ndarray:
        """Galaxies that can be chosen: without redshift and spectrum, with p(z)."""
        return ~self.known_N & np.isfinite(self.width_N)


def follow_up(config: FollowUpConfig, console: Console | None = None) -> pa.Table:
    """Choose targets and write the list, with a reason for each, and a page.

    Returns:
        The targets, the first to be observed first.

    Raises:
        InputError: the catalogue has no p(z), it is not known which galaxies have a spectrum, or there are too few
            galaxies without one.
    """
    console = console or terminal()
    row_format = read_format_with_pz(config.catalogue)
    survey = None
    if config.survey:
        survey = read_survey_rows(config.survey, SPLITS, ["redshift"])
    sample = _read(config, row_format, survey)
    if config.n > sample.candidate_N.sum():
        raise InputError(
            f"--n {config.n}: {config.catalogue} has {int(sample.candidate_N.sum()):,} galaxies without a spectrum and "
            f"with p(z). Give a smaller number."
        )
    with ProgressBar(total=config.n, desc="choose", unit=" targets") as bar:
        choice = choose_targets(
            sample.embedding_ND, sample.width_N, sample.known_N, sample.candidate_N, config.n, lambda: bar.update(1)
        )
    fields = _fields(sample, choice)
    paths = write_list(config.out, STEM, fields)
    page = _write_page(config, row_format, sample, choice, survey)
    for row in range(min(PRINTED, config.n)):
        console.print(f"{row + 1:4d} {fields['object_id'].values[row]}  {fields['reason'].values[row]}", soft_wrap=True)
    without = int((~sample.known_N & np.isnan(sample.width_N)).sum())
    if without:
        console.print(f"{without:,} galaxies without a spectrum have no p(z) and cannot be chosen")
    for path in (*paths, page):
        console.print(f"written    {path}", soft_wrap=True)
    return pq.read_table(paths[0], partitioning=None)


def _read(config: FollowUpConfig, row_format: RowFormat, survey: SurveyRows | None) -> Sample:
    if survey is None and "spectrum" not in row_format.modalities:
        raise InputError(
            f"{config.catalogue}: no spectra were read, so it is not known which galaxies have one. Give the input of "
            f"the catalogue as --survey."
        )
    has_redshift_M = None if survey is None else np.isfinite(survey.table["redshift"].to_numpy().astype(float))
    tables, known, places = [], [], []
    total = pq.read_metadata(config.catalogue.expanduser() / DATASET / METADATA).num_rows
    with ProgressBar(total=total, desc="read", unit=" galaxies") as bar:
        for rows in read_partitions(config.catalogue, COLUMNS):
            rows = rows.set_column(0, "object_id", pc.cast(rows["object_id"], pa.string()))
            place_N = np.full(len(rows), -1)
            if "spectrum" in row_format.modalities:
                known_N = rows[FLAGS].to_numpy() & Flag.NO_SPECTRUM == 0
            else:
                known_N = np.zeros(len(rows), bool)
            if survey is not None and has_redshift_M is not None:
                place_N = pc.index_in(rows["object_id"], survey.table["object_id"]).fill_null(-1).to_numpy()
                known_N |= (place_N >= 0) & has_redshift_M[place_N]
            tables.append(rows)
            known.append(known_N)
            places.append(place_N)
            bar.update(len(rows))
    table = pa.concat_tables(tables)
    return Sample(table, read_embeddings(table), pz_width(table), np.concatenate(known), np.concatenate(places))


def _fields(sample: Sample, choice: Choice) -> dict[str, Field]:
    """The columns of the written list, the first target first."""
    at_T = choice.order_T
    rows = sample.rows.take(pa.array(at_T))
    numbers = {
        "ra": ("right ascension, ICRS", "deg"),
        "dec": ("declination, ICRS", "deg"),
        "mmae_z_median": ("median of p(z)", ""),
        "mmae_z_err68_low": ("16th percentile of p(z)", ""),
        "mmae_z_err68_high": ("84th percentile of p(z)", ""),
    }
    reasons = [describe_target(choice, place, sample.width_N[at_T[place]]) for place in range(len(at_T))]
    return {
        "rank": Field(np.arange(1, len(at_T) + 1), "1: to be observed first"),
        "object_id": Field(rows["object_id"].to_numpy(), "name in the catalogue"),
        **{name: Field(rows[name].to_numpy(), *texts) for name, texts in numbers.items()},
        "gain": Field(choice.gain_T, "expected reduction of the variance of redshifts from images; 1: first target"),
        "reason": Field(np.array(reasons, object), "why it was chosen"),
    }


def _write_page(
    config: FollowUpConfig, row_format: RowFormat, sample: Sample, choice: Choice, survey: SurveyRows | None
) -> Path:
    chosen_N = np.zeros(len(sample.known_N), bool)
    chosen_N[choice.order_T] = True
    without_N = ~sample.known_N & np.isnan(sample.width_N)
    counts = (
        ("with a redshift or spectrum", int(sample.known_N.sum())),
        ("without, that can be chosen", int(sample.candidate_N.sum())),
        ("without, that have no p(z)", int(without_N.sum())),
        ("targets", len(choice.order_T)),
    )
    widths: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(float(x) for x in np.percentile(sample.width_N[mask_N], (16, 50, 84))))
        for name, mask_N in (("all that can be chosen", sample.candidate_N), ("targets", chosen_N))
    )
    quantiles = (Column("galaxies"), *(Column(f"q{q}", f"{q}%") for q in (16, 50, 84)))
    tables = (
        Table("counts", "Galaxies", (Column("what"), Column("galaxies")), counts),
        Table("widths", "Half width of the 68% interval / (1+z)", quantiles, widths),
    )
    sections = [Section("targets", "Targets", "", tables)]
    if survey is not None and "image" in row_format.modalities:
        sections.append(_pictures(sample, choice, survey))
    facts = {
        "catalogue": f"{config.catalogue}, model with sha256 {row_format.model}",
        "survey": config.survey or "not given",
        "provenance": provenance_line(),
    }
    return save_report(config.out / FOLDER, f"{len(choice.order_T)} targets", facts, sections, "mmae-targets-1")


def _pictures(sample: Sample, choice: Choice, survey: SurveyRows) -> Section:
    examples = []
    for at in choice.order_T[:SHOWN]:
        row = sample.rows.slice(int(at), 1).to_pylist()[0]
        if sample.survey_row_N[at] >= 0:
            place = survey.table.slice(int(sample.survey_row_N[at]), 1).to_pylist()[0]
            limits = row["mmae_z_err68_low"], row["mmae_z_err68_high"]
            where = survey.files[place[FILE]], place[ROW]
            examples.append(Example(row["object_id"], row["mmae_z_median"], *limits, None, *where))
    if not examples:
        return Section("first", "First targets", "", left_out="The survey has none of the targets.")
    figure = image_figure(examples, read_images(examples, survey.spec), survey.spec)
    return Section("first", "First targets", "", drawings=(Drawing("first", "The first targets.", figure),))
