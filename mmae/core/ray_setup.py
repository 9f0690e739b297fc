"""Start Ray or connect to a cluster, with the settings of this project (chosen by measurements with Ray 2.60)."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from mmae.core.errors import ADVICE, InputError, input_error_behind, one_line

WORKER_ENV = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # otherwise each line printed by a worker appears twice
    "RAY_TRAIN_METRICS_ENABLED": "0",  # otherwise a run whose name is not ASCII fails
    "RAY_DATA_LOG_LEVEL": "WARNING",
    # Halves the time to the first batch of an epoch with the V2 Parquet reader.
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
    # By default MLflow's client waits minutes for a server that is down, which would block training.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # glibc: memory of freed tensors is kept for the next step. Otherwise it is returned to the system, and every step
    # waits for thousands of fresh pages. 32 MiB is the largest threshold that glibc accepts.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    # Arrow's allocator: the same, for ten seconds, so that a reader uses the memory of one window for the next.
    "MIMALLOC_PURGE_DELAY": "10000",
}
# Of a Ray that this process starts for itself.
ALONE_ENV = {
    # Workers have the priority of any other process. By default those of a training yield to Ray's own processes, and
    # two threads of torch wait for the one that yields.
    "RAY_worker_niceness": "0",
    # The others save processes, each of which takes a second or more to start.
    # Workers that Ray starts in advance have no runtime environment, so that no job of this project can use them.
    "RAY_prestart_worker_first_driver": "0",
    # Watches for nodes that a cloud takes away.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
PASSED_ON = ("MMAE_MODALITIES",)  # of the driver's environment; see mmae/model/modalities/__init__.py
for _name, _value in WORKER_ENV.items():  # Ray reads these at import
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
import ray.data  # noqa: E402
from ray._common.utils import get_default_ray_temp_dir, get_ray_address_file  # noqa: E402
from ray._private import ray_constants  # noqa: E402

from mmae.core.resources import require_resources  # noqa: E402
from mmae.core.worker_progress import show_worker_bars  # noqa: E402

ADDRESS, AUTH_MODE = "RAY_ADDRESS", "RAY_AUTH_MODE"
CONNECT_SECONDS = 10.0  # time to reach a cluster; Ray itself waits for five minutes
SHORT_FOLDER = "/tmp"
# Of a socket of Ray: folder of the session, with time and process id, and name. Linux allows 107 bytes in all.
SOCKET = "session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store"
SOCKET_BYTES = 107
OWNER_ONLY = 0o600

VERBOSE_LOGGERS = (
    "ray._private.authentication.authentication_token_setup",  # says that there is a token
    "ray.data._internal.progress",
    "ray.train.v2._internal.execution.storage",
    # This module of Ray uses its file path as logger name.
    str(Path(ray.__file__).parent / "train/v2/_internal/execution/context.py"),
)
TRACEBACK_LOGGERS = (
    # Log the traceback of an exception that the driver raises too.
    "ray.data.exceptions",
    "ray.data._internal.execution.streaming_executor",
    "ray.data._internal.execution.streaming_executor_state",
    "ray.train.v2._internal.util",
)
FAILURE_LOGGER = "ray.train.v2._internal.execution.failure_handling.default"  # repeats the start of this traceback
_started_here = False
EXPLAINED = re.compile(rf"{InputError.__module__}\.InputError|\[Errno ({'|'.join(map(str, ADVICE))})\]")


def start_ray(importing: Sequence[str] = (), *, dashboard: bool = False) -> None:
    """Connect to the cluster at RAY_ADDRESS (set inside a Ray job) or a running local one, else start one.

    Args:
        importing: packages that the job needs next; they are imported in a thread while Ray starts. No packages of Ray.
        dashboard: whether a Ray that is started here has its dashboard, whose processes take seconds to start. With
            it, Ray Train frees what a stopped trial has reserved.

    Raises:
        InputError: the cluster does not answer or has no CPU, or Ray cannot be started.
    """
    if not ray.is_initialized():
        quiet_logs()
        cluster = _cluster()
        print(f"Ray     {f'connecting to {cluster}' if cluster else 'starting on this machine'}", flush=True)
        if not sys.stdout.isatty():
            os.environ.setdefault("RAY_COLOR_PREFIX", "0")  # no colours in front of the lines of workers
        if cluster:
            _require_reachable(cluster)
        else:
            _listen_on_loopback()
            os.environ.update(ALONE_ENV)
            _shorten_temporary_folder()
        token = token_file()
        new_token = not token.exists()
        with ThreadPoolExecutor(max_workers=1) as thread:
            for package in importing:
                thread.submit(import_module, package)
            _init_ray(None if cluster else dashboard)
        _check_token(token, new_token)
        require_resources(1, {"CPU": 1}, "this job")
    quiet_logs()
    show_worker_bars()
    set_data_context()


def _init_ray(dashboard: bool | None) -> None:
    global _started_here
    try:
        context = ray.init(
            runtime_env={
                "env_vars": _worker_environment(),
                "worker_process_setup_hook": f"{__name__}.{set_up_worker.__name__}",
            },
            logging_level=logging.WARNING,
            include_dashboard=dashboard,
        )
    except (Exception, SystemExit) as error:  # SystemExit if another server listens at the address
        raise InputError(f"Ray cannot be started: {one_line(str(error))}") from error
    _started_here = dashboard is not None
    if context.dashboard_url:
        print(f"Ray     dashboard http://{context.dashboard_url}", flush=True)


def started_here() -> bool:
    """Whether `start_ray` has started the Ray of this process, which ends with it."""
    return _started_here


def _cluster() -> str:
    """The address of the cluster to which `ray.init` will connect; empty if it will start Ray."""
    address = os.environ.get(ADDRESS, "")
    if address in ("", "auto"):
        file = Path(get_ray_address_file(None))
        return file.read_text().strip() if file.exists() else ""
    return "" if address == "local" else address


def _require_reachable(address: str) -> None:
    """Check that a server listens at the address of a cluster.

    Raises:
        InputError: it does not, or it is the address of the job server.
    """
    remedy = f"Start the cluster, or correct {ADDRESS}."
    if not os.environ.get(ADDRESS, "").removeprefix("auto"):
        remedy = f"Start the cluster again, or delete {get_ray_address_file(None)} to run on this machine."
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"{ADDRESS} is {address}, a job server: put it into RAY_API_SERVER_ADDRESS and use `ray job submit`, "
            f"or set {ADDRESS} to the address of the cluster, HOST:6379."
        )
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"{ADDRESS} is {address}: give HOST:PORT, for instance 10.0.0.1:6379.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address} ({error}). {remedy}") from error


def _shorten_temporary_folder() -> None:
    """Make Ray and its processes use a short folder for temporary files, if the path of theirs is too long for sockets.

    Raises:
        InputError: there is no short folder.
    """
    folder = get_default_ray_temp_dir()
    if len(os.fsencode(os.path.join(folder, SOCKET))) <= SOCKET_BYTES:
        return
    if not os.access(SHORT_FOLDER, os.W_OK):
        raise InputError(
            f"{folder}: this path is too long for Ray's sockets. Set RAY_TMPDIR to a folder with at most "
            f"{SOCKET_BYTES - len(SOCKET) - len('/ray/')} characters."
        )
    print(f"Ray's temporary files are in {SHORT_FOLDER}: the path of TMPDIR is too long for its sockets.", flush=True)
    os.environ["RAY_TMPDIR"] = os.environ["TMPDIR"] = SHORT_FOLDER


def token_file() -> Path:
    """The file with the token by which Ray's processes know each other."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()


def _check_token(token: Path, is_new: bool) -> None:
    """Make a token that Ray has just created readable by its owner only; warn of an older one that others can read."""
    unused = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get(AUTH_MODE, "token") != "token"
    if unused or not token.exists():
        return
    mode = token.stat().st_mode & 0o777
    if mode & ~OWNER_ONLY == 0:
        return
    if is_new:
        token.chmod(OWNER_ONLY)
        return
    print(
        f"warning: {token} can be read by other users (mode {mode:o}), who can then run code as you: "
        f"chmod 600 {shlex.quote(str(token))}",
        file=sys.stderr,
        flush=True,
    )


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


def set_up_worker() -> None:
    """Set up a worker process of Ray: quiet logs, and the address of its cluster.

    Without the address, parts of Ray in the worker search for a running cluster and fail if the machine has several.
    """
    os.environ[ADDRESS] = ray.get_runtime_context().gcs_address
    quiet_logs()


def quiet_logs() -> None:
    """Silence Ray's messages per epoch and checkpoint, which would break up the progress bar, and the tracebacks of
    errors that the driver explains in one line."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    for name in VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in TRACEBACK_LOGGERS:
        logging.getLogger(name).addFilter(_is_unexplained)
    logging.getLogger(FAILURE_LOGGER).setLevel(logging.CRITICAL)
    # Appears when a small data set has fewer blocks than readers.
    warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks", category=UserWarning)


def _is_unexplained(record: logging.LogRecord) -> bool:
    """Whether a record contains no error that `input_error_behind` explains."""
    error = record.exc_info[1] if record.exc_info else None
    return EXPLAINED.search(record.getMessage()) is None and input_error_behind(error) is None


def set_data_context() -> None:
    """Ray Data: keep the row order, raise original exceptions, show no progress bars."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.raise_original_map_exception = True  # an InputError of a reader stays an InputError
