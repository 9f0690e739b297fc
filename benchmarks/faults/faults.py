"""The faults that are injected into a run, and the reaction of its user.

Each function gets a run that is training and has a checkpoint. It injects the fault, does what a user would have to do,
and returns a short description of the reaction. The run must then finish by itself with status 0.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.cluster import EVERY, STEPS, STORE_BYTES, LocalCluster, Run, free_port, wait_until
from mmae.cli import INPUT_ERROR_STATUS


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes:
        inject: injects the fault into a training run and describes what happened.
        quick: part of the tests marked slow.
        equal: whether the final weights must equal those of the undisturbed run; not if the number of workers changes.
        nodes: number of nodes of two CPUs each at the start of the run, without the head.
        compute: fields of ComputeConfig.
        steps, every: steps of the run, and between its checkpoints.
        around: context manager that starts a server or mounts a disk, and returns fields of the run.
    """

    name: str
    inject: Callable[[LocalCluster, Run], str]
    quick: bool = False
    equal: bool = True
    nodes: int = 1
    compute: dict = field(default_factory=dict)
    steps: int = STEPS
    every: int = EVERY
    around: Callable[[LocalCluster], contextlib.AbstractContextManager[dict]] | None = None


def worker_killed(cluster: LocalCluster, run: Run) -> str:
    cluster.workers()[0].kill()
    return "Ray Train restarts the worker from the last checkpoint"


def controller_killed(cluster: LocalCluster, run: Run) -> str:
    cluster.processes("TrainController")[0].kill()
    run.wait()
    run.start()
    return "the run ends; the same command continues"


def driver_killed(cluster: LocalCluster, run: Run) -> str:
    run.process.kill()
    run.wait()
    run.start()
    return "the same command continues; workers of the dead driver end by themselves"


def driver_interrupted(cluster: LocalCluster, run: Run) -> str:
    run.process.send_signal(signal.SIGINT)
    run.wait()
    run.start()
    return "the run ends (status 130) and names the command that continues it"


def driver_terminated(cluster: LocalCluster, run: Run) -> str:
    run.process.terminate()  # what `ray job stop` sends
    run.wait()
    run.start()
    return "the run ends (status 143) and names the command that continues it"


def node_lost(cluster: LocalCluster, run: Run) -> str:
    node = next(node for node in cluster.nodes if cluster.workers(node))
    cluster.ray_cluster.remove_node(node, allow_graceful=False)  # kill -9 of all its processes
    cluster.nodes.remove(node)
    return "the worker restarts on another node from the last checkpoint"


def node_added(cluster: LocalCluster, run: Run) -> str:
    cluster.nodes.append(cluster.add_node())
    wait_until(lambda: "world_rank=3" in run.text(), "more workers")
    return "the run continues with 4 workers instead of 2 from the last checkpoint; Ray Train checks once a minute"


def node_removed(cluster: LocalCluster, run: Run) -> str:
    node = cluster.nodes.pop()
    cluster.ray_cluster.remove_node(node, allow_graceful=False)
    return "the run continues with 2 workers instead of 4 from the last checkpoint"


def worker_suspended(cluster: LocalCluster, run: Run) -> str:
    worker = cluster.workers()[0]
    worker.suspend()
    time.sleep(10)
    worker.resume()
    return "the run waits (10 s here) and continues"


def object_store_full(cluster: LocalCluster, run: Run) -> str:
    script = Path(__file__).with_name("fill_object_store.py")
    filler = subprocess.Popen(
        [sys.executable, str(script), cluster.ray_cluster.address, str(STORE_BYTES)], stdout=subprocess.PIPE, text=True
    )
    filler.stdout.readline()
    time.sleep(5)
    filler.kill()
    return "Ray spills to disk; the run continues more slowly"


def disk_full(cluster: LocalCluster, run: Run) -> str:
    filler = run.config.home_path / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    status = run.wait()
    filler.unlink()
    run.start()
    return f'the run retries, then ends (status {status}, "No space left"); with space, the same command continues'


@contextlib.contextmanager
def small_disk(cluster: LocalCluster):
    """A home on a file system of 40 MB; needs root."""
    place = cluster.folder / "disk"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "mmae-faults", str(place)], check=True)
    try:
        yield {"home": place}
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def shard_damaged(cluster: LocalCluster, run: Run) -> str:
    shard = max((cluster.folder / "survey" / "train").glob("*.parquet"), key=lambda p: p.stat().st_size)
    whole = shard.read_bytes()
    damaged = bytearray(whole)
    for eighth in range(1, 8):  # bytes of images and spectra, not of the footer
        damaged[eighth * len(damaged) // 8] ^= 1
    shard.write_bytes(damaged)
    status = run.wait()
    shard.write_bytes(whole)
    assert status == INPUT_ERROR_STATUS and f"{shard}: cannot be read" in run.text(), run.text()[-3000:]
    run.start()
    return "the run ends (status 2) with the name of the file; after its repair the same command continues"


def storage_unavailable(cluster: LocalCluster, run: Run) -> str:
    train = cluster.folder / "survey" / "train"
    train.rename(train.with_name("away"))
    time.sleep(10)
    train.with_name("away").rename(train)
    return "readers retry for up to 21 s; the run continues (unavailable for 10 s here)"


def mlflow_down(cluster: LocalCluster, run: Run) -> str:
    server = _servers[cluster.folder]
    server.kill()
    server.wait()
    before = run.last_step()
    run.wait_for_step(min(before + 12, 36))
    _servers[cluster.folder] = serve_mlflow(cluster)
    return "training continues; metrics are buffered and sent when the server is back"


_servers: dict[Path, subprocess.Popen] = {}
MLFLOW_PORT = free_port()


def serve_mlflow(cluster: LocalCluster) -> subprocess.Popen:
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(MLFLOW_PORT),
            "--workers",
            "1",
            "--backend-store-uri",
            f"sqlite:///{cluster.folder}/served.db",
            "--artifacts-destination",
            str(cluster.folder / "served"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{MLFLOW_PORT}/health", timeout=2).status == 200
        return False

    wait_until(answers, "the MLflow server")
    return server


@contextlib.contextmanager
def mlflow_server(cluster: LocalCluster):
    _servers[cluster.folder] = serve_mlflow(cluster)
    try:
        yield {"environment": {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{MLFLOW_PORT}"}}
    finally:
        _servers.pop(cluster.folder).kill()


def checkpoint_cut(cluster: LocalCluster, run: Run) -> str:
    run.process.kill()
    run.wait()
    time.sleep(3)  # workers of the dead driver may still be writing
    newest = run.checkpoints()[run.last_step()] / "training.safetensors"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    run.start()
    wait_until(lambda: "skipped: " in run.text() or run.process.poll() is not None, "the damaged checkpoint")
    return "the damaged checkpoint is named and skipped; the run continues from the previous one"


def checkpoint_incomplete(cluster: LocalCluster, run: Run) -> str:
    run.process.kill()
    run.wait()
    time.sleep(3)
    newest = run.checkpoints()[run.last_step()]
    later = newest.with_name("checkpoint_2999-01-01_00-00-00.000000")  # the name by a clock that is ahead
    later.mkdir()
    shutil.copy(newest / "state.json", later)
    run.start()
    wait_until(lambda: "skipped: " in run.text() or run.process.poll() is not None, "the incomplete checkpoint")
    return "an incomplete checkpoint with a date in the future is skipped"


FAULTS = (
    Fault("worker killed (kill -9)", worker_killed, quick=True),
    Fault("driver killed (kill -9)", driver_killed),
    Fault("driver interrupted (Ctrl-C)", driver_interrupted),
    Fault("job stopped (SIGTERM)", driver_terminated),
    Fault("train controller killed (kill -9)", controller_killed),
    Fault("node lost (kill -9 of its raylet)", node_lost, nodes=2),
    Fault("node added", node_added, equal=False, compute={"workers": 4, "min_workers": 2}, steps=300, every=20),
    Fault("node removed", node_removed, equal=False, nodes=2, compute={"workers": 4, "min_workers": 2}),
    Fault("worker suspended (SIGSTOP)", worker_suspended),
    Fault("object store full", object_store_full),
    Fault("disk full", disk_full, around=small_disk),
    Fault("shard damaged", shard_damaged, quick=True),
    Fault("storage unavailable", storage_unavailable),
    Fault("MLflow down", mlflow_down, around=mlflow_server),
    Fault("newest checkpoint cut in half", checkpoint_cut, quick=True),
    Fault("newest checkpoint incomplete, clock ahead", checkpoint_incomplete),
)
