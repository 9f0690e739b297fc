"""Small tables of the search, and access to the contents of figures."""

from __future__ import annotations

import re
from io import BytesIO

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from matplotlib.text import Text

EMPTY = {"float": np.nan, "int": 0, "bool": False, "text": ""}


def table(columns, n: int | None = None, **given) -> Table:
    """A table of the schema; columns not given are unknown."""
    n = max((len(values) for values in given.values()), default=0) if n is None else n
    made = Table({c.name: np.full(n, EMPTY[c.kind], "U64" if c.kind == "text" else None) for c in columns})
    for name, values in given.items():
        made[name][:] = values
    return made


def by_gid(ax, gid: str) -> list:
    return list(ax.findobj(lambda a: a.get_gid() == gid))


def text_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def drawn(figure: Figure) -> str:
    """Draw a figure; all its text, which must not contain "nan"."""
    figure.savefig(BytesIO(), format="png", dpi=40)
    words = text_of(figure)
    assert not re.search(r"\b(nan|inf|none)\b", words.lower())
    return words
