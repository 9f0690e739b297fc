"""Configuration of the data loader."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamConfig:
    """Reading and shuffling of the training data."""

    batch_size: int = 128
    """Galaxies per optimiser step, over all workers."""
    shuffle_rows: int = 1024
    """Galaxies that each worker reads and shuffles at a time; the order of the row groups is shuffled as well."""
    lanes: int = 0
    """Parts into which an epoch is divided; every batch has equally many galaxies of each, so that each worker reads
    its own parts. 0: compute.workers at the start of the run. Batches depend on it, not on the number of workers."""
    unlabelled: float = 1.0
    """Fraction of the training galaxies without a redshift that each epoch has, a new random subset each time. Useful
    if few galaxies have a redshift."""
    repeat_rare: int = 1
    """How many times, at most, a galaxy of a rare kind is repeated in an epoch: a point source, or an extended one, in
    a sparse bin of redshift. The copies show their spectrum, so that images alone keep the frequencies of the survey;
    without a spectrum the redshift loss is divided by this number. 1: no repetition (docs/modalities.md)."""
    readers: int = 2
    """Concurrent read tasks per worker."""
    cache_gb: float = 4.0
    """Validation and test splits up to this size (GB) are read once and kept in Ray's object store."""

    def __post_init__(self) -> None:
        if self.repeat_rare > 100:
            raise ValueError(f"stream.repeat_rare is {self.repeat_rare}: it must be at most 100.")
        for name in ("batch_size", "shuffle_rows", "readers", "repeat_rare"):
            if getattr(self, name) < 1:
                raise ValueError(f"stream.{name} is {getattr(self, name)}: it must be at least 1.")
        if not 0 <= self.unlabelled <= 1:
            raise ValueError(f"stream.unlabelled is {self.unlabelled}: a fraction must be in [0, 1].")
        if self.lanes < 0 or (self.lanes and self.batch_size % self.lanes):
            raise ValueError(
                f"stream.lanes is {self.lanes}: it must divide stream.batch_size {self.batch_size}, or be 0."
            )
