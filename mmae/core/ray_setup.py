"""Start Ray or connect to a cluster, with the settings of this project (chosen by measurements with Ray 2.60)."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

WORKER_ENV = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # otherwise each line printed by a worker appears twice
    "RAY_DATA_LOG_LEVEL": "WARNING",
    # Halves the time to the first batch of an epoch with the V2 Parquet reader.
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
    # By default MLflow's client waits minutes for a server that is down, which would block training.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
PASSED_ON = ("MMAE_MODALITIES",)  # of the driver's environment; see mmae/model/modalities/__init__.py
for _name, _value in WORKER_ENV.items():  # Ray reads these at import
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
import ray.data  # noqa: E402
from ray._private import ray_constants  # noqa: E402

# `ray start` writes the address of its cluster here; ray.init connects to it if RAY_ADDRESS is not set.
RUNNING_CLUSTER = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"

VERBOSE_LOGGERS = (
    "ray.data._internal.progress",
    "ray.train.v2._internal.execution.storage",
    # This module of Ray uses its file path as logger name.
    str(Path(ray.__file__).parent / "train/v2/_internal/execution/context.py"),
)


def start_ray() -> None:
    """Connect to the cluster at RAY_ADDRESS (set inside a Ray job) or a running local one, else start one."""
    if not ray.is_initialized():
        if not os.environ.get("RAY_ADDRESS") and not RUNNING_CLUSTER.exists():
            _listen_on_loopback()
        ray.init(
            runtime_env={
                "env_vars": _worker_environment(),
                "worker_process_setup_hook": f"{__name__}.{quiet_logs.__name__}",
            },
            logging_level=logging.WARNING,
        )
    quiet_logs()
    set_data_context()


def _worker_environment() -> dict[str, str]:
    """Environment variables of Ray's worker processes on any node."""
    return WORKER_ENV | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _listen_on_loopback() -> None:
    """Make a Ray that this process starts listen on loopback only, as it does on macOS and Windows.

    On Linux its ports are open to the network by default. This is Ray's only switch for it. Ray reads it at import,
    so it is set here and, through the environment, for Ray's processes.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def quiet_logs() -> None:
    """Silence Ray's messages per epoch and checkpoint, which would break up the progress bar."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    for name in VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Appears when a small data set has fewer blocks than readers.
    warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks", category=UserWarning)


def set_data_context() -> None:
    """Ray Data: keep the row order, raise original exceptions, show no progress bars."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.raise_original_map_exception = True  # an InputError of a reader stays an InputError
