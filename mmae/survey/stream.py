"""From Parquet shards to torch batches: the only place that knows Ray Data.

Shape suffixes: B batch, C band, H and W pixels, L wavelength.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import ray
import torch
from ray.data import DataIterator, Dataset
from ray.data.collate_fn import ArrowBatchCollateFn

from mmae.config import RunConfig, StreamConfig
from mmae.model.batch import Batch, InputSpec
from mmae.model.modalities import MODALITIES
from mmae.survey.schema import SurveySpec
from mmae.survey.order import Order, Portion
from mmae.survey.store import Survey
from mmae.survey.windows import RowGroup, galaxy_columns, read_rows, row_groups

READER_CPUS = 0  # readers must run where workers have taken all CPUs; stream.readers keeps them few


def input_spec(spec: SurveySpec) -> InputSpec:
    """What the model must know of a survey."""
    return InputSpec(
        image_size=spec.image_size,
        n_wavelengths=spec.n_wavelengths,
        band_noise=spec.band_noise,
        arcsinh_mean=spec.arcsinh_mean,
        arcsinh_std=spec.arcsinh_std,
    )


def read_split(survey: Survey, split: str, config: StreamConfig) -> Dataset:
    """The rows of one split as a Ray Dataset, in the order of the survey."""
    data = ray.data.read_parquet(
        survey.files(split), columns=galaxy_columns(survey), num_cpus=READER_CPUS, concurrency=config.readers,
        partitioning=None,  # Norder=5/ in a path is a name, and no column
    )
    n_bytes = sum((survey.path / s.path).stat().st_size for s in survey.shards if s.split == split)
    return data.materialize() if n_bytes <= config.cache_gb * 1e9 else data


class CollateGalaxies(ArrowBatchCollateFn):
    """An Arrow batch of survey rows -> `Batch` on the CPU."""

    def __init__(self, spec: SurveySpec):
        self.spec = spec

    def __call__(self, table: pa.Table) -> Batch:
        values, present = {}, {}
        for modality, kind in MODALITIES.items():
            shapes, there = kind.shapes(input_spec(self.spec)), []
            for name, columns in kind.columns(self.spec.bands).items():
                values[name], has_B = decode(table, columns, shapes[name])
                there.append(has_B)
            present[modality] = torch.stack(there).all(0)
        redshift = table["redshift"]
        return Batch(
            values=values,
            present=present,
            redshift_B=torch.from_numpy(redshift.fill_null(0.0).to_numpy().copy()),
            redshift_known_B=torch.from_numpy(redshift.is_valid().to_numpy().copy()),
            object_id=table["object_id"].to_pylist(),
        )


def decode(
    table: pa.Table, columns: tuple[str, ...], shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One value of a modality -> float32 (B, *shape) and where it is present (B,).

    Args:
        columns: one column of tensors, or of numbers; a galaxy has the modality if it has any of the numbers, and
            NaN stands for the others. A column that a survey does not have is null.
    """
    if not set(columns) <= set(table.column_names):
        return torch.zeros(len(table), *shape), torch.zeros(len(table), dtype=torch.bool)
    if pa.types.is_fixed_size_binary(table.schema.field(columns[0]).type):
        dtype = np.dtype(f"f{table.schema.field(columns[0]).type.byte_width // math.prod(shape)}")
        values_BX, present_B = decode_tensor(table[columns[0]], dtype)
        return values_BX.reshape(-1, *shape), present_B
    numbers = [table[column].cast(pa.float32()).fill_null(math.nan).to_numpy() for column in columns]
    values_BX = torch.from_numpy(np.stack(numbers, -1))
    present_B = values_BX.isfinite().any(-1)
    return values_BX.where(present_B[:, None], 0.0).reshape(-1, *shape), present_B


def decode_tensor(column: pa.ChunkedArray, dtype: np.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """A column of fixed-size binary -> float32 (B, samples), zero where null, and presence (B,)."""
    width = column.type.byte_width
    # Written once, straight from the Arrow buffer into a tensor's memory.
    values = torch.zeros(len(column), width // dtype.itemsize)
    present = torch.zeros(len(column), dtype=torch.bool)
    row = 0
    for chunk in column.chunks:
        flat = np.frombuffer(
            chunk.buffers()[1], dtype=np.uint8, count=len(chunk) * width, offset=chunk.offset * width
        )
        is_present = chunk.is_valid().to_numpy(zero_copy_only=False)
        here = slice(row, row + len(chunk))
        # What lies under a null is undefined: it stays behind.
        np.copyto(
            values[here].numpy(), flat.view(dtype).reshape(len(chunk), -1), where=is_present[:, None]
        )
        present[here] = torch.from_numpy(is_present)
        row += len(chunk)
    return values, present


def batches(data: DataIterator | Dataset, spec: SurveySpec, batch_size: int) -> Iterator[Batch]:
    """Stream `Batch`es of a split, the last one as short as it is."""
    return iter(
        data.iter_torch_batches(batch_size=batch_size, collate_fn=CollateGalaxies(spec), prefetch_batches=2)
    )


def run_order(survey: Survey, config: RunConfig) -> Order:
    """The order in which a run sees its training galaxies."""
    return Order(
        rows_G=tuple(group.rows for group in row_groups(survey, "train")), seed=config.seed,
        batch_size=config.stream.batch_size, lanes=config.stream.lanes or config.compute.workers,
        shuffle_rows=config.stream.shuffle_rows,
    )


def training_batches(
    survey: Survey, config: RunConfig, step: int = 0, portion: Portion = Portion()
) -> Iterator[Batch]:
    """A worker's portion of every batch of a run, from the given step to the last one.

    Each epoch is a Ray Dataset of windows, which its tasks read; so a run of any length is planned epoch by epoch.
    """
    order, groups, columns = run_order(survey, config), row_groups(survey, "train"), galaxy_columns(survey)
    mine = portion.rows(order.batch_size)
    n_windows = math.ceil(config.optim.steps / order.window_batches)
    window, skip = divmod(step, order.window_batches)
    while window < n_windows:
        stop = min(n_windows, (window // order.epoch_windows + 1) * order.epoch_windows)
        items = [{"window": w, "skip": skip if w == window else 0} for w in range(window, stop)]
        data = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _read_window, batch_format="pyarrow", fn_kwargs={"order": order, "groups": groups, "columns": columns, "portion": portion},
            num_cpus=READER_CPUS, compute=ray.data.TaskPoolStrategy(size=config.stream.readers),
        )
        yield from batches(data, survey.spec, mine.stop - mine.start)
        window, skip = stop, 0


def _read_window(
    items: pa.Table, order: Order, groups: list[RowGroup], columns: list[str], portion: Portion
) -> pa.Table:
    """Galaxies of the windows that the rows of `items` name."""
    return pa.concat_tables(
        read_rows(groups, columns, *order.window(item["window"], portion, item["skip"])) for item in items.to_pylist()
    )
