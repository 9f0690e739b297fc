"""The short help shows some options of a dataclass, with the texts of the full help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from mmae.core.short_help import short_help


@dataclass(frozen=True)
class Inner:
    """An inner group."""

    steps: int = 7
    """Number of steps, 68% of them short."""
    rates: tuple[float, ...] = (0.1, 0.2)
    """Some rates."""


@dataclass(frozen=True)
class Outer:
    out: Path
    """Where to."""
    kind: Literal["a", "b"] = "a"
    """Which kind."""
    name: str = ""
    """Its name."""
    folder: Path | None = None
    """Its folder."""
    dry: bool = False
    """Only show."""
    hidden: int = 3
    """Not shown."""
    inner: Inner = field(default_factory=Inner)


GROUPS = {
    "first": ("--out", "--kind", "--title", "--folder", "--dry"),
    "second": ("--inner.steps", "--inner.rates", "--of-another-model"),
}

LINES = [
    "usage: job [OPTIONS]",
    "What it does.",
    "first:",
    "--out PATH Where to. (required)",
    "--kind {a,b} Which kind. (default: a)",
    "--title STR Its name.",
    "--folder PATH Its folder.",
    "--dry Only show.",
    "second:",
    "--inner.steps INT Number of steps, 68% of them short. (default: 7)",
    "--inner.rates FLOAT ... Some rates. (default: 0.1 0.2)",
]


def test_options_are_shown_in_groups_with_types_defaults_and_texts(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = short_help(
        Outer, "What it does.", GROUPS, prog="job", aliases={"--title": "--name"}, config=(tyro.conf.AvoidSubcommands,)
    )
    assert text.split() == " ".join(LINES).split()


def test_defaults_are_those_of_the_instance():
    text = short_help(Outer, "", GROUPS, prog="job", aliases={}, default=Outer(Path("there"), inner=Inner(steps=99)))
    assert "(default: 99)" in text and "(default: there)" in text
