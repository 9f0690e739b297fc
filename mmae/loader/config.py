"""How rows of a survey reach the workers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamConfig:
    """How rows reach the workers."""

    batch_size: int = 128
    """Galaxies in one optimiser step, over all workers together."""
    shuffle_rows: int = 1024
    """Galaxies that each worker reads and shuffles together; where they are read from is shuffled as well."""
    lanes: int = 0
    """Parts of an epoch that every batch draws from equally, so that each worker reads its own. 0: compute.workers
    at the run's start. Batches stay the same when the number of workers changes."""
    unlabelled: float = 1.0
    """Share of the training galaxies without a redshift that an epoch draws, others each time. With few redshifts, 1
    would spend most of a run on galaxies that say nothing of them."""
    readers: int = 2
    """Tasks of each worker that read galaxies ahead."""
    cache_gb: float = 4.0
    """A validation or test split up to this size is read once and kept in Ray's object store."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "shuffle_rows", "readers"):
            if getattr(self, name) < 1:
                raise ValueError(f"stream.{name} is {getattr(self, name)}: it must be at least 1.")
        if not 0 <= self.unlabelled <= 1:
            raise ValueError(f"stream.unlabelled is {self.unlabelled}: a share lies in [0, 1].")
        if self.lanes < 0 or (self.lanes and self.batch_size % self.lanes):
            raise ValueError(
                f"stream.lanes is {self.lanes}: it must divide stream.batch_size {self.batch_size}, or be 0."
            )
