"""Start or join Ray with the settings this project needs (measured on Ray 2.60)."""

from __future__ import annotations

import logging
import os

# Read by Ray when its modules load, so they must stand before `import ray`.
os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # workers' lines would appear twice
os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")

import ray

WORKER_ENV = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # Halves the time to the first batch of an epoch read by the V2 Parquet reader.
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
}


def start_ray() -> None:
    """Join the cluster named by RAY_ADDRESS (as inside a Ray job), else start one here."""
    if not ray.is_initialized():
        ray.init(runtime_env={"env_vars": WORKER_ENV}, logging_level=logging.WARNING)
    quiet_ray_data()


def quiet_ray_data() -> None:
    """One progress bar of ours instead of Ray Data's, and rows in a repeatable order."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.execution_options.verbose_progress = False
    for name in ("ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.WARNING)
