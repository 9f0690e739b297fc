"""Print redshift scores as a table in the terminal."""

from __future__ import annotations

import io
import math

from rich import box
from rich.console import Console
from rich.table import Table

from mmae.core.terminal import terminal
from mmae.metrics.bootstrap import Score, Scores
from mmae.metrics.redshift import ALL_Z, BASELINE, LOW_Z, ScoreTable

ROW_NAMES = {"image": "image only", "spectrum": "spectrum only", "both": "both"}

# Recomputed from the published predictions of the paper: image only, 25% masked.
PAPER_ROW = "paper *"
PAPER_LOW_Z, PAPER_ALL_Z, PAPER_OUTLIERS = 0.0163, 0.0210, 0.0463
PAPER_NOTE = (
    "* Different data set: image only, 25% masked, 20,181 test galaxies of "
    "GalaxiesML-Spectra (Zenodo 16989593), recomputed from the published predictions. "
    "Not directly comparable."
)


def print_scores(table: ScoreTable, console: Console | None = None, *, paper: bool = False, title: str = "") -> None:
    """Print one row per input mode: sigma_NMAD at z < 0.4 and all z, bias and outlier rate (all z).

    Errors are half the width of the 68% interval. The table fits into 80 columns.

    Args:
        table: result of `score_table`.
        console: default: the terminal.
        paper: add the published values, labelled as a different data set.
        title: title of the table.
    """
    console = console or terminal()
    rows = Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False, pad_edge=False
    )
    rows.add_column("redshift from\n")
    for name, where in (("σ_NMAD", LOW_Z), ("σ_NMAD", ALL_Z), ("bias", ALL_Z), ("outliers", ALL_Z)):
        rows.add_column(f"{name}\n{where}", justify="right", no_wrap=True)
    for mode in sorted(table, key=lambda mode: mode == BASELINE):  # baseline last
        rows.add_row(ROW_NAMES.get(mode, mode), *_cells(table[mode]))
    if paper:
        rows.add_section()
        rows.add_row(PAPER_ROW, f"{PAPER_LOW_Z:.4f}", f"{PAPER_ALL_Z:.4f}", "", f"{100 * PAPER_OUTLIERS:.2f}%")
    console.print(rows)
    for line in _notes(table):
        console.print(line, highlight=False, soft_wrap=True)
    if paper:
        console.print(PAPER_NOTE, highlight=False, soft_wrap=True)


def scores_text(table: ScoreTable) -> str:
    """The table of `print_scores` as plain text, 80 columns wide."""
    text = io.StringIO()
    print_scores(table, terminal(file=text, width=80))
    return text.getvalue()


def with_error(score: Score | None, percent: bool = False) -> str:
    """`0.0210±0.0003` or `4.63±0.15%`; `-` if there is no value."""
    if score is None or not math.isfinite(score.value):
        return "-"
    has_error = math.isfinite(score.error)
    if percent:
        scale, digits, unit = 100.0, 2, "%"
    else:
        # Redshift errors from spectra can be 1e-5, which four digits would show as 0.
        scale, digits, unit = 1.0, 5 if has_error and 0 < score.error < 5e-5 else 4, ""
    value = f"{scale * score.value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")
    error = f"±{scale * score.error:.{digits}f}" if has_error else ""
    return f"{value}{error}{unit}"


def _cells(selections: dict[str, Scores]) -> list[str]:
    low_z, all_z = selections.get(LOW_Z, {}), selections.get(ALL_Z, {})
    return [
        with_error(low_z.get("sigma_nmad")),
        with_error(all_z.get("sigma_nmad")),
        with_error(all_z.get("bias")),
        with_error(all_z.get("outlier_rate"), percent=True),
    ]


def _notes(table: ScoreTable) -> list[str]:
    """Notes below the table: numbers of galaxies, and predictions that are not finite."""
    modes_of_counts: dict[str, list[str]] = {}  # modes may be scored on different galaxies
    for mode, selections in table.items():
        counts = [f"{scores['outlier_rate'].n:,} at {name}" for name, scores in selections.items()]
        modes_of_counts.setdefault(", ".join(counts), []).append(ROW_NAMES.get(mode, mode))
    notes = ["Errors are 68% intervals."] if table else []
    for text, modes in modes_of_counts.items():
        which = "" if len(modes_of_counts) == 1 else f" ({', '.join(modes)})"
        notes.append(f"Galaxies{which}: {text}.")
    for mode, selections in table.items():
        missing = selections.get(ALL_Z, {}).get("not_finite")
        if missing is not None and missing.value > 0:
            notes.append(
                f"{ROW_NAMES.get(mode, mode)}: {missing.value:.0f} of {missing.n:,} "
                f"predictions are not finite and count as outliers."
            )
    return notes
