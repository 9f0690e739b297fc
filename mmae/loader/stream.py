"""Stream torch batches from Parquet shards with Ray Data.

Shape suffixes: B batch, C band, H and W pixels, L wavelength.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import DataIterator, Dataset
from ray.data.collate_fn import ArrowBatchCollateFn

from mmae.core.errors import InputError
from mmae.loader.collate import galaxy_columns, to_batch
from mmae.loader.config import StreamConfig
from mmae.loader.rare import repeats_of_rare
from mmae.loader.row_groups import kinds_of_rows, read_group, read_windows, row_groups, unlabelled_rows, window_plan
from mmae.loader.sampler import Portion, Sampler
from mmae.model.batch import Batch
from mmae.survey.schema import SurveySpec
from mmae.survey.store import Survey

READ_HERE_BYTES = 2**28  # on disk; larger splits are read in parallel by processes of Ray
READER_CPUS = 0  # readers must run also if workers have reserved all CPUs; stream.readers limits their number
# Once the object store is full, Ray Data's scheduler polls without a pause in the process of the training, which then
# takes five times as long. So a Ray Dataset has few windows, which fit into a share of the store.
MOST_WINDOWS, STORE_SHARE = 6, 0.4
NUMBER_BYTES = 8  # of a number or a name, at most about


def read_split(survey: Survey, split: str, config: StreamConfig) -> Dataset:
    """The rows of a split as a Ray Dataset, in the order of the survey.

    A small split is read here: Ray would start several processes for it.

    Raises:
        InputError: a shard of a small split cannot be read.
    """
    files, columns = survey.files(split), galaxy_columns(survey)
    n_bytes = sum((survey.path / s.path).stat().st_size for s in survey.shards if s.split == split)
    if n_bytes <= min(READ_HERE_BYTES, config.cache_gb * 1e9):
        return ray.data.from_blocks([read_group(group, columns) for group in row_groups(survey, split)])
    data = ray.data.read_parquet(
        files,
        columns=columns,
        num_cpus=READER_CPUS,
        concurrency=config.readers,
        partitioning=None,  # Norder=5/ in a path is not a partition column
    )
    return data.materialize() if n_bytes <= config.cache_gb * 1e9 else data


class CollateGalaxies(ArrowBatchCollateFn):
    """Converts an Arrow batch of survey rows to a `Batch` on the CPU, see `to_batch`."""

    def __init__(self, spec: SurveySpec, pinned: bool = False):
        self.spec, self.pinned = spec, pinned

    def __call__(self, table: pa.Table) -> Batch:  # type: ignore[override]  # Ray passes any object on
        return to_batch(table, self.spec, self.pinned)


def batches(data: DataIterator | Dataset, spec: SurveySpec, batch_size: int, pinned: bool = False) -> Iterator[Batch]:
    """Iterator over the batches of a split, see `to_batch`; the last one may be smaller."""
    collate = CollateGalaxies(spec, pinned)
    stream = data.iter_torch_batches(batch_size=batch_size, collate_fn=collate, prefetch_batches=2)
    return cast(Iterator[Batch], iter(stream))


def make_sampler(survey: Survey, stream: StreamConfig, seed: int) -> Sampler:
    """The sampler of the training split.

    Args:
        stream: with `lanes` 0, one lane is used.

    Raises:
        InputError: an epoch has no galaxy, or fewer galaxies than lanes.
    """
    groups, share = row_groups(survey, "train"), stream.unlabelled
    with ThreadPoolExecutor() as threads:
        unlabelled_G = () if share == 1 else tuple(threads.map(unlabelled_rows, groups))
        kind_G = [] if stream.repeat_rare == 1 else [*threads.map(kinds_of_rows, groups)]
    sampler = Sampler(
        rows_G=tuple(group.rows for group in groups),
        seed=seed,
        batch_size=stream.batch_size,
        lanes=stream.lanes or 1,
        shuffle_rows=stream.shuffle_rows,
        unlabelled_G=unlabelled_G,
        share=share,
        repeats_G=repeats_of_rare(kind_G, stream.repeat_rare) if kind_G else (),
    )
    if not sampler.n_rows:
        raise InputError(
            f"{survey.path}: no training galaxy has a redshift and stream.unlabelled is {share}. "
            f"Increase stream.unlabelled, or use a survey with redshifts."
        )
    if sampler.n_rows < sampler.lanes:
        raise InputError(
            f"{survey.path}: an epoch has {sampler.n_rows} training galaxies with stream.unlabelled {share}, "
            f"fewer than stream.lanes {sampler.lanes}. Decrease stream.lanes or increase stream.unlabelled."
        )
    return sampler


def training_batches(
    survey: Survey,
    stream: StreamConfig,
    *,
    seed: int,
    steps: int,
    step: int = 0,
    portion: Portion = Portion(),
    pinned: bool = False,
) -> Iterator[Batch]:
    """The portion of a worker of each batch, from the given step to the end of the run.

    The windows of a run are read in Ray tasks, as Ray Datasets of a few windows. When half of the batches of one are
    used, the next one is read, so that a training does not wait for it.

    Args:
        steps: total number of optimiser steps of the run.
        step: first step.
        pinned: see `to_batch`.
    """
    sampler, groups, columns = make_sampler(survey, stream, seed), row_groups(survey, "train"), galaxy_columns(survey)
    mine = portion.rows(sampler.batch_size)
    per_window, n_rows = sampler.window_batches, mine.stop - mine.start
    n_windows = math.ceil(steps / per_window)
    at_once = windows_in_store(survey, columns, per_window * n_rows, portion.world)

    def started(window: int, skip: int = 0) -> tuple[range, Iterator[Batch]]:
        """The windows of a Ray Dataset, and its batches, of which the first is read."""
        windows = range(window, min(n_windows, window + at_once))
        plans = [window_plan(sampler, groups, w, portion, skip if w == window else 0) for w in windows]
        data = ray.data.from_items(plans, override_num_blocks=len(plans)).map_batches(
            read_windows,  # type: ignore[arg-type]  # the annotation of Ray omits arguments from fn_kwargs
            batch_format="pyarrow",
            fn_kwargs={"columns": columns},
            num_cpus=READER_CPUS,
            compute=ray.data.TaskPoolStrategy(size=stream.readers),
        )
        found = batches(data, survey.spec, n_rows, pinned)
        return windows, itertools.chain([next(found)], found)

    window, skip = divmod(step, per_window)
    with ThreadPoolExecutor(max_workers=1) as thread:
        following = thread.submit(started, window, skip) if window < n_windows else None
        while following:
            windows, found = following.result()
            following, n_batches = None, len(windows) * per_window - skip
            for index, batch in enumerate(found):
                # Not earlier: the processes that read this Ray Dataset read the next one too.
                if index == n_batches // 2 and windows.stop < n_windows:
                    following = thread.submit(started, windows.stop)
                yield batch
            skip = 0


def windows_in_store(survey: Survey, columns: list[str], rows: int, workers: int) -> int:
    """How many windows a Ray Dataset has, so that two of them fit into the object store for each worker of a node.

    Args:
        rows: of a window of one worker.
        workers: of the run.
    """
    stores = [node["Resources"].get("object_store_memory", 0) for node in ray.nodes() if node["Alive"]]
    of_worker = STORE_SHARE * min(stores) / math.ceil(workers / len(stores))
    return max(1, min(MOST_WINDOWS, int(of_worker / (2 * rows * row_bytes(survey, columns)))))


def row_bytes(survey: Survey, columns: list[str]) -> int:
    """Bytes of a row in memory."""
    schema = pq.read_schema(survey.path / survey.shards[0].path)
    types = [schema.field(column).type for column in columns]
    return sum(kind.byte_width if pa.types.is_fixed_size_binary(kind) else NUMBER_BYTES for kind in types)
