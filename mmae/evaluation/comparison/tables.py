"""Tables with one column per run, from tables of the same name in the evaluations of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from mmae.config import RunConfig
from mmae.core.settings import flat, from_yaml
from mmae.evaluation.cells import measured
from mmae.evaluation.comparison.stored import StoredEvaluation
from mmae.evaluation.summary import SIGNIFICANT
from mmae.evaluation.tables import PREDICTIONS
from mmae.inference.checkpoint import CONFIG
from mmae.metrics.redshift import is_redshift, scatter_difference
from mmae.report.contents import Cell, Column, Table, Verdict, leading_texts, slug
from mmae.report.score_table import ROW_NAMES

UNNAMED = ("name", "home", "config", "experiment")  # fields of a configuration that do not change the weights
MIN_GALAXIES = 20  # for a difference of scatters


@dataclass(frozen=True)
class Chosen:
    """What is compared of one table of the evaluations.

    Attributes:
        section, table: names.
        columns: names of columns; each row of the table becomes one row for each of them.
        rows: leading texts of the rows; empty: all.
        target: name of a column that is the same for all runs and is shown beside them.
    """

    section: str
    table: str
    columns: tuple[str, ...]
    rows: tuple[str, ...] = ()
    target: str = ""


def compared_table(chosen: Chosen, evaluations: Sequence[StoredEvaluation]) -> Table | None:
    """Rows of one table, one column per run; None if no run has the table. A run without a row or column has `-`.

    Verdicts become plain text, so that they are not counted as targets of this page.
    """
    tables = [_table(chosen, evaluation) for evaluation in evaluations]
    first = next((table for table in tables if table is not None), None)
    if first is None:
        return None
    cells = [{} if table is None else _cells(table) for table in tables]
    headings = {column.name: column.heading for table in tables if table for column in table.columns}
    keys = dict.fromkeys(key for of_run in cells for key, _ in of_run if not chosen.rows or key[0] in chosen.rows)
    names = [name for name in chosen.columns if name in headings]
    with_heading = len(names) > 1
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        for key in keys:
            of_runs = [of_run.get((key, name)) for of_run in cells]
            if all(cell is None for cell in of_runs):
                continue
            row = [headings[name]] if with_heading else []
            row += [*key, *(cell.text if isinstance(cell, Verdict) else cell for cell in of_runs)]
            if chosen.target:
                row.append(next((c[key, chosen.target] for c in cells if (key, chosen.target) in c), None))
            rows.append(tuple(row))
    width = len(next(iter(keys), ()))
    columns = (
        *([Column("quantity")] if with_heading else []),
        *first.columns[:width],
        *run_columns(evaluations),
        *([Column(chosen.target)] * bool(chosen.target)),
    )
    return Table(chosen.table, first.title, columns, tuple(rows))


def run_columns(evaluations: Sequence[StoredEvaluation]) -> tuple[Column, ...]:
    return tuple(Column(slug(evaluation.name), evaluation.name) for evaluation in evaluations)


def difference_table(evaluations: Sequence[StoredEvaluation], *, seed: int, resamples: int) -> Table:
    """Scatter of every run minus that of the first one, for the galaxies that both have predicted, from their files."""
    first, *others = evaluations
    before = _predictions(first)
    rows: list[tuple[Cell, ...]] = []
    for other in others:
        now = _predictions(other)
        _, row_N, other_N = np.intersect1d(before["object_id"], now["object_id"], return_indices=True)
        for mode, text in ROW_NAMES.items():
            name = f"z_{mode}"
            if name not in before or name not in now:
                continue
            z_N, z_first_N, z_other_N = before["redshift"][row_N], before[name][row_N], now[name][other_N]
            shared_N = is_redshift(z_N) & np.isfinite(z_first_N) & np.isfinite(z_other_N)
            if shared_N.sum() < MIN_GALAXIES:
                continue
            difference = scatter_difference(
                z_N[shared_N], z_other_N[shared_N], z_first_N[shared_N], seed=seed, resamples=resamples
            )
            if abs(difference.value) > SIGNIFICANT * difference.error:
                verdict = Verdict("smaller" if difference.value < 0 else "larger")
            else:
                verdict = Verdict("within the errors")
            rows.append((other.name, text, int(shared_N.sum()), measured(difference), verdict))
    return Table(
        "difference",
        f"sigma_NMAD minus that of {first.name}, same galaxies, all z",
        (Column("run"), Column("mode", "redshift from"), Column("n"), Column("difference"), Column("verdict")),
        tuple(rows),
        f"Errors are half of the 68% interval of a paired bootstrap; a difference counts from {SIGNIFICANT:g} errors.",
    )


def configuration_table(evaluations: Sequence[StoredEvaluation]) -> Table:
    """The fields of the configurations that differ."""
    configurations = [flat(from_yaml(e.checkpoint / CONFIG, RunConfig)) for e in evaluations]
    fields = [name for name in dict.fromkeys(n for c in configurations for n in c) if name.split(".")[0] not in UNNAMED]
    rows = []
    for name in fields:
        values = [str(configuration.get(name, "")) for configuration in configurations]
        if len(set(values)) > 1:
            rows.append((name, *values))
    return Table("configuration", "Settings that differ", (Column("setting"), *run_columns(evaluations)), tuple(rows))


def _table(chosen: Chosen, evaluation: StoredEvaluation) -> Table | None:
    tables = [t for s in evaluation.sections if s.name == chosen.section for t in s.tables if t.name == chosen.table]
    return tables[0] if tables else None


def _cells(table: Table) -> dict[tuple[tuple[str, ...], str], Cell]:
    """(Leading texts of the row, name of the column) -> cell."""
    return {
        (tuple(leading_texts(row)), column.name): cell
        for row in table.rows
        for column, cell in zip(table.columns, row, strict=True)
    }


def _predictions(evaluation: StoredEvaluation) -> Mapping[str, np.ndarray]:
    table = pq.read_table(evaluation.folder / PREDICTIONS)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
