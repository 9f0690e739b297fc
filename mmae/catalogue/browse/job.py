"""A page to look through the galaxies of a catalogue: the job of ray_jobs/browse.py."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from mmae.catalogue.browse.choose import ANOMALOUS, RANDOM, UNCERTAIN, Choice, choose
from mmae.catalogue.browse.config import BrowseConfig
from mmae.catalogue.browse.contents import contents
from mmae.catalogue.browse.page import render_page
from mmae.catalogue.row_numbers import NumberedRows
from mmae.catalogue.rows import RowFormat
from mmae.core.files import write_whole
from mmae.core.provenance import provenance_line
from mmae.core.terminal import terminal

PAGE = "index.html"


def browse(config: BrowseConfig, console: Console | None = None) -> Path:
    """Choose galaxies of a catalogue, write their page, and return its path.

    Raises:
        InputError: the folder is not a catalogue, the survey has none of its galaxies, or usearch is not installed.
    """
    console = console or terminal()
    rows = NumberedRows(config.catalogue.expanduser())
    choice = choose(config)
    numbers = {name: sum(name in reasons for reasons in choice.reasons) for name in (ANOMALOUS, UNCERTAIN, RANDOM)}
    shown = ", ".join(f"{number} {name}" for name, number in numbers.items())
    console.print(f"galaxies   {len(choice.number_M)} of {choice.total:,}: {shown}")
    found = contents(rows, choice, config.neighbours, config.survey)
    config.out.mkdir(parents=True, exist_ok=True)
    page = config.out / PAGE
    write_whole(page, render_page(rows.folder.name, _facts(config, rows, choice, shown), found))
    console.print(f"page       {page}", soft_wrap=True)
    return page


def _facts(config: BrowseConfig, rows: NumberedRows, choice: Choice, shown: str) -> dict[str, str]:
    return {
        "catalogue": f"{config.catalogue}, {choice.total:,} galaxies",
        "shown": f"{len(choice.number_M)}: {shown}",
        "images and spectra": config.survey or "none: --survey was not given",
        "p(z) from": " and ".join(rows.row_format.modalities) + _bins(rows.row_format),
        "model": f"sha256 of the weights {rows.row_format.model}",
        "provenance": provenance_line(),
    }


def _bins(row_format: RowFormat) -> str:
    if row_format.ln_edges is None:
        return ""
    low, high, bins = row_format.ln_edges
    return f", drawn in bins of {(high - low) / bins:.2g} in ln(1+z); median and 68% interval are from finer bins"
