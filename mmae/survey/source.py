"""Where galaxies come from: what every reader and the simulator hand to the builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mmae.core.errors import InputError
from mmae.survey.schema import Galaxy, Rejection, SurveySpec

Chunk = dict[str, Any]
"""A unit of work of bounded size, as plain values: a file and a range of rows. The optional "name" names its shards."""


@dataclass
class ChunkRead:
    """What reading one chunk gave: galaxies (not yet checked) with where each came from."""

    galaxies: list[Galaxy] = field(default_factory=list)
    where: list[str] = field(default_factory=list)  # one per galaxy: "file, row 17"
    rejections: list[Rejection] = field(default_factory=list)  # rows or fields that could not be read
    truth: list[dict[str, Any]] = field(default_factory=list)  # of simulated galaxies, by "object_id"


@dataclass(frozen=True)
class Source:
    """A survey to be read. `read` runs in a Ray worker, once for each chunk, in any order."""

    name: str
    spec: SurveySpec
    provenance: dict[str, Any]
    chunks: list[Chunk]
    read: Callable[[Chunk], ChunkRead]
    truth_schema: pa.Schema | None = None
    """Columns of the truth rows, needed where `read` gives any. Given and not inferred: a
    column that happens to be all None in one chunk must have the same type there."""

    def __post_init__(self) -> None:
        if self.truth_schema is None:
            return
        if "object_id" not in self.truth_schema.names or "split" in self.truth_schema.names:
            raise InputError(
                f"source {self.name}: truth_schema has the columns {self.truth_schema.names}; it must "
                f"have object_id, and not split, which the builder adds."
            )
