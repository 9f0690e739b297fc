"""Common style of all figures.

Figures are `matplotlib.figure.Figure` objects without pyplot, which needs a display and keeps references to open
figures. rcParams are global to the process, so `style` holds a lock while they are changed, and figures may be drawn
in several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

# Okabe & Ito (2008), distinguishable with all types of colour blindness.
BLACK = "#000000"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
PURPLE = "#CC79A7"
GREY = "#8C8C8C"
LIGHT_GREY = "#D9D9D9"

# Dark is dense; a single galaxy is still visible, and black or vermillion lines are distinct.
DENSITY_CMAP = LinearSegmentedColormap.from_list("density", matplotlib.colormaps["Blues"](np.linspace(0.3, 0.95, 256)))
SIGNED_CMAP = "RdBu_r"  # diverging, white at zero

RC: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=[BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE, BLACK]),
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # part of matplotlib, so figures are the same on all machines
    "font.size": 9,
    "image.interpolation": "nearest",  # no smoothing of pixels
    "image.origin": "lower",
    "legend.fontsize": 8,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # TrueType, because journals do not accept Type 3 fonts
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "xtick.direction": "in",
    "xtick.labelsize": 8,
    "xtick.top": True,
    "ytick.direction": "in",
    "ytick.labelsize": 8,
    "ytick.right": True,
}

_rc_lock = threading.RLock()


@contextmanager
def style() -> Iterator[None]:
    """Apply the common style in a `with` block, or to a function as decorator `@style()`."""
    with _rc_lock, matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignore the matplotlibrc of the user
        matplotlib.rcParams.update(RC)
        yield


@style()
def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure (format from the suffix: png, pdf, svg); missing folders are created."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def outlined(width: float = 1.5) -> list[withStroke]:
    """Path effects: a white outline that separates a line from dense data."""
    return [withStroke(linewidth=width + 1.5, foreground="white")]


def say_absent(ax: Axes, text: str, *, keep_x: bool = False) -> None:
    """An empty panel with a text, for a modality that was not observed.

    Args:
        keep_x: keep the labels of the x axis, for panels that share it.
    """
    # tick_params, because set_ticks would also change the panels that share the axis.
    ax.tick_params(axis="y", which="both", left=False, right=False, labelleft=False)
    if not keep_x:
        ax.tick_params(axis="x", which="both", bottom=False, top=False, labelbottom=False)
    ax.set_facecolor("#F4F4F4")
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)


def short_name(object_id: str, length: int = 18) -> str:
    """A long name shortened to its end, which is the distinctive part in catalogues."""
    return object_id if len(object_id) <= length else "…" + object_id[1 - length :]
