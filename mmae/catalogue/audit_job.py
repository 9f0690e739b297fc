"""Rank the redshifts of a survey by the probability that they are wrong: the job of ray_jobs/audit.py.

Shape suffixes: N galaxies of a partition, M rows of the survey.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

from mmae.bundle.predictions import Flag
from mmae.catalogue.audit import agree, rank, weigh
from mmae.catalogue.audit_config import AuditConfig
from mmae.catalogue.audit_page import TRUTH, write_audit_page
from mmae.catalogue.hats_files import DATASET, METADATA
from mmae.catalogue.read import read_format_with_pz, read_partitions, read_pz
from mmae.catalogue.rows import FLAGS, IN_TRAINING, PZ_CDF, PZ_EDGE, RowFormat
from mmae.catalogue.survey_rows import SurveyRows, read_survey_rows
from mmae.catalogue.table_files import Field, write_list
from mmae.core.errors import InputError
from mmae.core.progress import ProgressBar
from mmae.core.terminal import terminal
from mmae.survey.store import MANIFEST, open_survey
from mmae.survey.truth import read_truth

STEM = "audit"
MODE = "mmae_z_mode"
COLUMNS = ["object_id", "ra", "dec", "mmae_z_median", MODE, PZ_EDGE, PZ_CDF, FLAGS, IN_TRAINING]
PRINTED = 10  # galaxies


def audit(config: AuditConfig, console: Console | None = None) -> pa.Table:
    """Compare all redshifts of a survey with p(z) of its catalogue; write the ranking and a page.

    Returns:
        All judged galaxies one row each, the most suspicious first.

    Raises:
        InputError: the catalogue has no p(z), the survey no redshifts, or they have no galaxies in common.
    """
    console = console or terminal()
    row_format = read_format_with_pz(config.catalogue)
    survey = read_survey_rows(config.survey, config.splits, ["redshift"], ["split"])
    table, counts = _judged(config, row_format, survey)
    table = table.take(rank(-table["pz_at_redshift"].to_numpy()))  # P(wrong) may be 1 for several
    table = table.append_column("rank", pa.array(np.arange(1, len(table) + 1)))
    truth = _wrong_in_truth(config.survey, table)
    if truth is not None:
        table = table.append_column(TRUTH, truth)
    paths = write_list(config.out, STEM, _fields(table.slice(0, config.rows)))
    page = write_audit_page(config, row_format, survey, table, counts)
    for row in table.slice(0, PRINTED).to_pylist():
        console.print(
            f"{row['rank']:4d} {row['object_id']:24s} z = {row['redshift']:.4f}, model {row['z_other']:.4f}, "
            f"P(wrong) = {row['p_wrong']:.4f}"
        )
    for path in (*paths, page):
        console.print(f"written    {path}", soft_wrap=True)
    return table


def _judged(config: AuditConfig, row_format: RowFormat, survey: SurveyRows) -> tuple[pa.Table, dict[str, int]]:
    """Galaxies with a redshift and p(z), in the order of the catalogue; and the numbers of the others by reason."""
    label_M = survey.table["redshift"].to_numpy().astype(float)
    known_M = np.isfinite(label_M)
    if not known_M.any():
        raise InputError(f"{config.survey}: no galaxy has a redshift. Give the survey whose redshifts are checked.")
    within = (float(label_M[known_M].min()), float(label_M[known_M].max()))
    z_max = float(np.expm1(row_format.edges_K1()[-1]))
    counts = {"in the catalogue": 0, "without a redshift": 0, "without p(z)": 0, "beyond the redshifts of p(z)": 0}
    parts = []
    total = pq.read_metadata(config.catalogue.expanduser() / DATASET / METADATA).num_rows
    with ProgressBar(total=total, desc="audit", unit=" galaxies") as bar:
        for rows in read_partitions(config.catalogue, COLUMNS):
            place = pc.index_in(pc.cast(rows["object_id"], pa.string()), survey.table["object_id"])
            found_N = place.fill_null(-1).to_numpy()
            label_N = np.where(found_N >= 0, label_M[found_N], np.nan)
            has_pz_N = rows["mmae_z_median"].is_valid().to_numpy()
            judged_N = np.isfinite(label_N) & has_pz_N & (label_N < z_max)
            counts["in the catalogue"] += len(rows)
            counts["without a redshift"] += int(np.isnan(label_N).sum())
            counts["without p(z)"] += int((np.isfinite(label_N) & ~has_pz_N).sum())
            counts["beyond the redshifts of p(z)"] += int((has_pz_N & (label_N >= z_max)).sum())
            if judged_N.any():
                chosen = rows.filter(pa.array(judged_N))
                found = found_N[judged_N], label_N[judged_N]
                parts.append(_compare(chosen, survey.table, *found, row_format, config, within))
            bar.update(len(rows))
    if not parts:
        raise InputError(
            f"{config.survey}: none of its redshifts is of a galaxy of {config.catalogue}. Give the input of the "
            f"catalogue."
        )
    return pa.concat_tables(parts), counts


def _compare(
    rows: pa.Table,
    survey_table: pa.Table,
    survey_row_N: np.ndarray,
    label_N: np.ndarray,
    row_format: RowFormat,
    config: AuditConfig,
    label_range: tuple[float, float],
) -> pa.Table:
    """Galaxies of one partition: the columns of the list, the code of p(z), and the row of the survey."""
    evidence = weigh(read_pz(rows, row_format), label_N, config.wrong_rate, label_range)
    mode_N = rows[MODE].to_numpy().astype(float)  # from finer bins than p(z)
    other_N = np.where(agree(mode_N, evidence.other_z_N), mode_N, evidence.other_z_N)
    columns = {
        "object_id": pc.cast(rows["object_id"], pa.string()),
        "ra": rows["ra"],
        "dec": rows["dec"],
        "redshift": label_N,
        "p_wrong": evidence.wrong_N,
        "pz_at_redshift": evidence.at_label_N,
        "z_other": other_N,
        "pz_at_other": evidence.at_other_N,
        "z_median": rows["mmae_z_median"],
        "used": _used(rows[FLAGS].to_numpy(), row_format),
        "in_training": rows[IN_TRAINING],
        PZ_EDGE: rows[PZ_EDGE],
        PZ_CDF: rows[PZ_CDF],
        "survey_row": survey_row_N,
    }
    if "split" in survey_table.column_names:
        columns["split"] = survey_table["split"].take(pa.array(survey_row_N))
    return pa.table(columns)


def _used(flags_N: np.ndarray, row_format: RowFormat) -> np.ndarray:
    """What p(z) was computed from: "image", "spectrum", "image spectrum"."""
    missing = {"image": Flag.NO_IMAGE, "spectrum": Flag.NO_SPECTRUM}
    used_N = np.full(len(flags_N), "", object)
    for name in row_format.modalities:
        has_N = flags_N & missing.get(name, Flag(0)) == 0
        used_N = np.where(has_N, used_N + f"{name} ", used_N)
    return np.array([text.strip() for text in used_N], object)


def _wrong_in_truth(survey: str, table: pa.Table) -> pa.ChunkedArray | None:
    """Whether each redshift is wrong, from the truth of a simulated survey; None for other surveys."""
    folder = Path(survey).expanduser()
    if not (folder / MANIFEST).is_file():
        return None
    opened = open_survey(folder)
    if not opened.truth_shards:
        return None
    truth = read_truth(opened, ["object_id", "catastrophic"])
    return truth["catastrophic"].take(pc.index_in(table["object_id"], truth["object_id"]))


def _fields(table: pa.Table) -> dict[str, Field]:
    """The columns of the written list."""

    def masked(name: str) -> np.ma.MaskedArray:
        column = table[name]
        return np.ma.MaskedArray(column.fill_null(False).to_numpy(), column.is_null().to_numpy())

    described = {
        "rank": ("1: the most suspicious", ""),
        "object_id": ("name in the catalogue", ""),
        "ra": ("right ascension, ICRS", "deg"),
        "dec": ("declination, ICRS", "deg"),
        "redshift": ("catalogue redshift", ""),
        "p_wrong": ("probability that the catalogue redshift is wrong", ""),
        "pz_at_redshift": ("mass of p(z) within 0.003 (1+z) of the catalogue redshift", ""),
        "z_other": ("most probable redshift elsewhere", ""),
        "pz_at_other": ("mass of p(z) within 0.003 (1+z) of z_other", ""),
        "z_median": ("median of p(z)", ""),
        "used": ("what p(z) was computed from", ""),
    }
    found = {name: Field(table[name].to_numpy(), *texts) for name, texts in described.items()}
    text = "whether the galaxy was in the training of the model, with this redshift; missing: not known"
    return found | {"in_training": Field(masked("in_training"), text)}
