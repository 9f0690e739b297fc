"""Where galaxies come from: what every reader and the simulator hand to the builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mmae.survey.schema import Galaxy, Rejection, SurveySpec

Chunk = dict[str, Any]
"""A piece of work of bounded size, as plain values: a file and a range of rows."""


@dataclass
class ChunkRead:
    """What reading one chunk gave: galaxies (not yet checked) with where each came from."""

    galaxies: list[Galaxy] = field(default_factory=list)
    where: list[str] = field(default_factory=list)  # one per galaxy: "file, row 17"
    rejections: list[Rejection] = field(default_factory=list)  # rows or fields that could not be read


@dataclass(frozen=True)
class Source:
    """A survey to be read. `read` runs in a Ray worker, once for each chunk, in any order."""

    name: str
    spec: SurveySpec
    provenance: dict[str, Any]
    chunks: list[Chunk]
    read: Callable[[Chunk], ChunkRead]
