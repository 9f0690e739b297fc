"""Draw docs/images/architecture.png: the subpackages in the layers of the import contract.

    python docs/figures/architecture.py

The layers come from [tool.importlinter] in pyproject.toml, the text of a subpackage or module from its docstring, the
number of lines from its files. Nothing is typed here, so that the picture cannot differ from the contract.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "architecture.png"
WIDTH, GAP = 12.0, 0.12  # inches
HEADER, LINE = 0.36, 0.145  # height of a subpackage's name, and of each line of its text
LETTERS = 13  # of a text per inch
FACE, EDGE = "#eaf1f8", "#33658a"


def layers() -> list[list[str]]:
    """The subpackages of each layer, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contract = next(c for c in contracts if c["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def files_of(name: str) -> list[Path]:
    folder = ROOT / "mmae" / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def purpose(name: str) -> str:
    """The first line of the subpackage's docstring."""
    folder = ROOT / "mmae" / name
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text()))
    if not docstring:
        raise SystemExit(f"{file}: has no docstring.")
    return docstring.splitlines()[0]


def lines_of(name: str) -> int:
    return sum(len(file.read_text().splitlines()) for file in files_of(name))


def draw() -> Figure:
    rows = layers()
    widths = [(WIDTH - 0.4 - GAP * (len(names) - 1)) / len(names) for names in rows]
    texts = {
        name: textwrap.wrap(purpose(name), int(width * LETTERS))
        for names, width in zip(rows, widths, strict=True)
        for name in names
    }
    heights = [HEADER + LINE * max(len(texts[name]) for name in names) for names in rows]
    height = sum(heights) + GAP * len(rows) + 0.7
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(height, 0))
    ax.axis("off")
    ax.text(0.2, 0.42, "mmae: a subpackage imports only those in lower rows", fontsize=13, va="center")
    top = 0.7
    for names, row, width in zip(rows, heights, widths, strict=True):
        for column, name in enumerate(names):
            left = 0.2 + column * (width + GAP)
            ax.add_patch(
                FancyBboxPatch((left, top), width, row, boxstyle="round,pad=0,rounding_size=0.06", fc=FACE, ec=EDGE)
            )
            ax.text(left + 0.12, top + 0.2, name, fontsize=11.5, fontweight="bold", va="center")
            ax.text(left + width - 0.12, top + 0.2, f"{lines_of(name):,} lines", fontsize=8, va="center", ha="right")
            ax.text(left + 0.12, top + 0.32, "\n".join(texts[name]), fontsize=8.5, va="top", linespacing=1.15)
        top += row + GAP
    return figure


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=110)
    print(PICTURE)
