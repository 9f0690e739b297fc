"""The faults: what is done to a run in the middle, and what its user does then.

Each function meets a run that has a checkpoint and is training. It does the harm, does what a user would do about it if
anything, and says in a few words what happened. The run must then end by itself, with status 0.
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

from benchmarks.faults.scene import EVERY, STEPS, STORE_BYTES, Run, Scene, free_port, wait_until
from mmae.cli import INPUT_ERROR_STATUS


@dataclass(frozen=True)
class Fault:
    """One line of the table.

    Attributes:
        harm: does it to a run that trains, and tells what happened.
        quick: tried by the tests marked slow too.
        equal: the final weights must be those of the undisturbed run; else the number of workers changed on the way.
        nodes: of two CPUs each, besides the head, when the run starts.
        compute: fields of ComputeConfig.
        steps, every: of the run, and between its checkpoints.
        around: a context that gives Run fields for the run: a server, a disk.
    """

    name: str
    harm: Callable[[Scene, Run], str]
    quick: bool = False
    equal: bool = True
    nodes: int = 1
    compute: dict = field(default_factory=dict)
    steps: int = STEPS
    every: int = EVERY
    around: Callable[[Scene], contextlib.AbstractContextManager[dict]] | None = None


def worker_killed(scene: Scene, run: Run) -> str:
    scene.workers()[0].kill()
    return "Ray Train starts the worker again, from the last checkpoint"


def controller_killed(scene: Scene, run: Run) -> str:
    scene.processes("TrainController")[0].kill()
    run.wait()
    run.start()
    return "the run ends; the same command goes on"


def driver_killed(scene: Scene, run: Run) -> str:
    run.process.kill()
    run.wait()
    run.start()
    return "the same command goes on; workers of the dead driver end by themselves"


def driver_interrupted(scene: Scene, run: Run) -> str:
    run.process.send_signal(signal.SIGINT)
    run.wait()
    run.start()
    return "the same command goes on"


def driver_terminated(scene: Scene, run: Run) -> str:
    run.process.terminate()  # what `ray job stop` sends
    run.wait()
    run.start()
    return "the same command goes on"


def node_lost(scene: Scene, run: Run) -> str:
    node = next(node for node in scene.nodes if scene.workers(node))
    scene.cluster.remove_node(node, allow_graceful=False)  # kill -9 of its raylet and all else
    scene.nodes.remove(node)
    return "the worker starts again on another node, from the last checkpoint"


def node_added(scene: Scene, run: Run) -> str:
    scene.nodes.append(scene.add_node())
    wait_until(lambda: "world_rank=3" in run.text(), "more workers")
    return "the run goes over from 2 workers to 4, from the last checkpoint; Ray Train looks for room once a minute"


def node_removed(scene: Scene, run: Run) -> str:
    node = scene.nodes.pop()
    scene.cluster.remove_node(node, allow_graceful=False)
    return "the run goes on with 2 workers instead of 4, from the last checkpoint"


def worker_stands_still(scene: Scene, run: Run) -> str:
    worker = scene.workers()[0]
    worker.suspend()
    time.sleep(10)
    worker.resume()
    return "the run waits (10 s here) and goes on"


def object_store_full(scene: Scene, run: Run) -> str:
    hog = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("hog.py")), scene.cluster.address, str(STORE_BYTES)],
        stdout=subprocess.PIPE,
        text=True,
    )
    hog.stdout.readline()
    time.sleep(5)
    hog.kill()
    return "Ray spills to disk; the run goes on, slower"


def disk_full(scene: Scene, run: Run) -> str:
    filler = run.config.home_path / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    status = run.wait()
    filler.unlink()
    run.start()
    return f'the run tries again, then ends (status {status}, "No space left"); with space, the same command goes on'


@contextlib.contextmanager
def small_disk(scene: Scene):
    """A home on a file system of 40 MB; needs root."""
    place = scene.folder / "disk"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "mmae-faults", str(place)], check=True)
    try:
        yield {"home": place}
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def shard_damaged(scene: Scene, run: Run) -> str:
    shard = max((scene.folder / "survey" / "train").glob("*.parquet"), key=lambda p: p.stat().st_size)
    whole = shard.read_bytes()
    damaged = bytearray(whole)
    for eighth in range(1, 8):  # in the pages of images and spectra, not in the footer
        damaged[eighth * len(damaged) // 8] ^= 1
    shard.write_bytes(damaged)
    status = run.wait()
    shard.write_bytes(whole)
    assert status == INPUT_ERROR_STATUS and f"{shard}: cannot be read" in run.text(), run.text()[-3000:]
    run.start()
    return "the run ends (status 2) with the name of the file; when it is mended, the same command goes on"


def storage_away(scene: Scene, run: Run) -> str:
    train = scene.folder / "survey" / "train"
    train.rename(train.with_name("away"))
    time.sleep(10)
    train.with_name("away").rename(train)
    return "readers ask again for up to 21 s; the run goes on (away for 10 s here)"


def mlflow_down(scene: Scene, run: Run) -> str:
    server = _servers[scene.folder]
    server.kill()
    server.wait()
    before = run.last_step()
    run.wait_for_step(min(before + 12, 36))
    _servers[scene.folder] = serve_mlflow(scene)
    return "training goes on, metrics are kept and sent when it answers again"


_servers: dict[Path, subprocess.Popen] = {}
MLFLOW_PORT = free_port()


def serve_mlflow(scene: Scene) -> subprocess.Popen:
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
            f"sqlite:///{scene.folder}/served.db",
            "--artifacts-destination",
            str(scene.folder / "served"),
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
def mlflow_server(scene: Scene):
    _servers[scene.folder] = serve_mlflow(scene)
    try:
        yield {"environment": {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{MLFLOW_PORT}"}}
    finally:
        _servers.pop(scene.folder).kill()


def checkpoint_cut(scene: Scene, run: Run) -> str:
    run.process.kill()
    run.wait()
    time.sleep(3)  # workers of the dead driver may still write
    newest = run.checkpoints()[run.last_step()] / "training.safetensors"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    run.start()
    wait_until(lambda: "passed over" in run.text() or run.process.poll() is not None, "the damaged checkpoint")
    return "the damaged checkpoint is named and passed over; the run goes on from the one before"


def checkpoint_half_copied(scene: Scene, run: Run) -> str:
    run.process.kill()
    run.wait()
    time.sleep(3)
    newest = run.checkpoints()[run.last_step()]
    later = newest.with_name("checkpoint_2999-01-01_00-00-00.000000")  # as a clock that runs ahead would name it
    later.mkdir()
    shutil.copy(newest / "state.json", later)
    run.start()
    wait_until(lambda: "passed over" in run.text() or run.process.poll() is not None, "the half checkpoint")
    return "a folder that was not written to its end, with a name from the future, is passed over"


FAULTS = (
    Fault("worker killed (kill -9)", worker_killed, quick=True),
    Fault("driver killed (kill -9)", driver_killed),
    Fault("driver interrupted (Ctrl-C)", driver_interrupted),
    Fault("job stopped (SIGTERM)", driver_terminated),
    Fault("train controller killed (kill -9)", controller_killed),
    Fault("node lost (kill -9 of its raylet)", node_lost, nodes=2),
    Fault("node added", node_added, equal=False, compute={"workers": 4, "min_workers": 2}, steps=300, every=20),
    Fault("node removed", node_removed, equal=False, nodes=2, compute={"workers": 4, "min_workers": 2}),
    Fault("worker stands still", worker_stands_still),
    Fault("object store full", object_store_full),
    Fault("disk full", disk_full, around=small_disk),
    Fault("shard damaged", shard_damaged, quick=True),
    Fault("storage away", storage_away),
    Fault("MLflow down", mlflow_down, around=mlflow_server),
    Fault("newest checkpoint cut in half", checkpoint_cut, quick=True),
    Fault("newest checkpoint half copied, clock ahead", checkpoint_half_copied),
)
