"""Sources of galaxies: the interface of the readers and the simulator to the builder."""

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
    """The content of one chunk: galaxies (not yet checked) and the origin of each."""

    galaxies: list[Galaxy] = field(default_factory=list)
    where: list[str] = field(default_factory=list)  # one per galaxy: "file, row 17"
    rejections: list[Rejection] = field(default_factory=list)  # rows or fields that could not be read
    truth: list[dict[str, Any]] = field(default_factory=list)  # of simulated galaxies; each row has "object_id"


@dataclass(frozen=True)
class Source:
    """Input of a survey. `read` runs in a Ray worker, once for each chunk, in any order."""

    name: str
    spec: SurveySpec
    provenance: dict[str, Any]
    chunks: list[Chunk]
    read: Callable[[Chunk], ChunkRead]
    truth_schema: pa.Schema | None = None
    """Columns of the truth rows, required if `read` gives any. Not inferred, because a
    column that is None throughout one chunk must have the same type there."""

    def __post_init__(self) -> None:
        if self.truth_schema is None:
            return
        if "object_id" not in self.truth_schema.names or "split" in self.truth_schema.names:
            raise InputError(
                f"source {self.name}: truth_schema has the columns {self.truth_schema.names}; it must "
                f"have object_id, and not split, which the builder adds."
            )
