"""Columns of tables of trials, in the terminal and in the report."""

from __future__ import annotations

from collections.abc import Iterable

from mmae.report.contents import Column

HEADINGS = {
    "image_mask_ratio": "image\nmask",
    "spectrum_mask_ratio": "spec.\nmask",
    "image_patch": "image\npatch",
    "spectrum_patch": "spec.\npatch",
    "learning_rate": "learning\nrate",
}


def parameter_columns(names: Iterable[str]) -> tuple[Column, ...]:
    """One column for each parameter of the space, with a heading short enough for a terminal."""
    return tuple(Column(name, HEADINGS.get(name, "")) for name in names)
