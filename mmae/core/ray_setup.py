"""Start or join Ray with the settings this project needs (measured on Ray 2.60)."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

WORKER_ENV = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else every line of a worker appears twice
    "RAY_DATA_LOG_LEVEL": "WARNING",
    # Halves the time to the first batch of an epoch read by the V2 Parquet reader.
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
    # MLflow's client would wait for minutes for a server that is down, and training with it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
for _name, _value in WORKER_ENV.items():  # Ray reads these while its modules load
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
import ray.data  # noqa: E402
from ray._private import ray_constants  # noqa: E402

# Where `ray start` notes the cluster that a script joins if RAY_ADDRESS names none.
RUNNING_CLUSTER = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"

CHATTY = (
    "ray.data._internal.progress",
    "ray.train.v2._internal.execution.storage",
    # This module of Ray names its logger by its file.
    str(Path(ray.__file__).parent / "train/v2/_internal/execution/context.py"),
)


def start_ray() -> None:
    """Join the cluster named by RAY_ADDRESS (as inside a Ray job), else start one here."""
    if not ray.is_initialized():
        if not os.environ.get("RAY_ADDRESS") and not RUNNING_CLUSTER.exists():
            _listen_on_loopback()
        ray.init(
            runtime_env={"env_vars": WORKER_ENV, "worker_process_setup_hook": f"{__name__}.{quiet_logs.__name__}"},
            logging_level=logging.WARNING,
        )
    quiet_logs()
    set_data_context()


def _listen_on_loopback() -> None:
    """A Ray that a script starts for itself listens as on macOS and Windows: on Linux its ports would be open to the
    network. The switch for that has no other name, and is read when Ray is loaded, here and in its processes."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def quiet_logs() -> None:
    """Leave the terminal to our progress line: one line per epoch and checkpoint is Ray's wont."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Of reading little data with as many readers as much data would need.
    warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks", category=UserWarning)


def set_data_context() -> None:
    """Rows in a repeatable order, errors as they are, and no second set of progress bars."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.raise_original_map_exception = True  # an InputError of a reader stays one
