"""Test bed of the faults: a local Ray cluster of several nodes, a small survey, and runs of `ray_jobs/pretrain.py`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from mlflow import MlflowClient
from ray.cluster_utils import Cluster
from safetensors.numpy import load_file

from mmae.config import ComputeConfig, OptimConfig, RunConfig, ScoreConfig, ValidationConfig
from mmae.core.settings import to_yaml
from mmae.loader.config import StreamConfig
from mmae.model.config import MMAEConfig, ModalitiesConfig
from mmae.model.part_configs import ImageConfig, SpectrumConfig
from mmae.recipes import recipe
from mmae.tracking.runs import Tracker, tracking_uri

ROOT = Path(__file__).parents[2]
GALAXIES = 600
STEPS, EVERY = 40, 4  # steps of a run, and between two checkpoints
QUICK_STEPS = 20  # steps of a run in the tests
TIMEOUT_S = 600.0  # four workers on two cores make one step per second
STORE_BYTES = 300 * 2**20  # object store of each node: small, so that it can be filled


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.05)


def checkpoints(run_dir: Path) -> dict[int, Path]:
    """Checkpoints registered by Ray Train, from which a run can resume, by step."""
    snapshot = run_dir / "checkpoint_manager_snapshot.json"
    try:
        text = snapshot.read_text()
        return {
            json.loads((p / "state.json").read_text())["step"]: p
            for p in run_dir.glob("checkpoint_2*")
            if p.name in text
        }
    except (OSError, ValueError):  # a file was removed or incomplete during reading
        return {}


def processes_below(root: psutil.Process, title: str) -> list[psutil.Process]:
    """Descendants of a process whose command line contains the title."""
    return [p for p in root.children(recursive=True) if title in _title(p)]


@dataclass
class Run:
    """One training run and its current driver process."""

    config: RunConfig
    cluster: LocalCluster
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    newest_at_start: int = 0  # step of the last checkpoint at the start of the driver, damaged or not

    @property
    def folder(self) -> Path:
        return self.config.home_path / "runs" / self.config.name

    @property
    def log(self) -> Path:
        return self.cluster.folder / f"{self.config.name}.log"

    def start(self) -> None:
        """Run the command of a user, for the first time or again."""
        self.newest_at_start = self.last_step()
        file = self.cluster.folder / f"{self.config.name}.yaml"
        file.write_text(to_yaml(self.config))
        environment = (
            os.environ | {"RAY_ADDRESS": self.cluster.ray_cluster.address, "PYTHONPATH": str(ROOT)} | self.environment
        )
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "ray_jobs" / "pretrain.py"), "--config", str(file)],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=self.cluster.folder,
            )

    def checkpoints(self) -> dict[int, Path]:
        return checkpoints(self.folder)

    def last_step(self) -> int:
        return max(self.checkpoints(), default=0)

    def wait_for_step(self, step: int) -> None:
        def there() -> bool:
            if self.last_step() >= step:
                return True
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.config.name} ended before step {step}:\n{self.text()[-2000:]}")
            return False

        wait_until(there, f"{self.config.name} to reach step {step}")

    def wait(self) -> int:
        """The exit status of the driver."""
        return self.process.wait(timeout=TIMEOUT_S)

    def end(self) -> None:
        """Kill the driver if it is alive, so that the next run has all CPUs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def losses(self) -> dict[int, float]:
        """Validation loss in MLflow, by step."""
        uri = self.environment.get("MLFLOW_TRACKING_URI") or tracking_uri(self.config.home_path)
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(self.config.experiment).experiment_id
        (run,) = client.search_runs([experiment], f"attributes.run_name = '{self.config.name}'")
        return dict(zip(*Tracker(uri, run.info.run_id).history("val/loss"), strict=True))

    def weights(self) -> dict:
        return load_file(self.checkpoints()[self.config.optim.steps] / "training.safetensors")


class LocalCluster:
    """A head node without CPUs, and nodes of two CPUs each."""

    def __init__(self, folder: Path, nodes: int = 1):
        self.folder = folder
        self.ray_cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": STORE_BYTES,
                # Ray Train uses the dashboard to detect dead drivers.
                "include_dashboard": True,
                "dashboard_port": free_port(),
            },
        )
        self.nodes = [self.add_node() for _ in range(nodes)]

    def add_node(self):
        return self.ray_cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)

    def close(self) -> None:
        self.ray_cluster.shutdown()

    def run(self, name: str, home: Path | None = None, steps: int = STEPS, every: int = EVERY, **compute) -> Run:
        config = replace(
            recipe("small"),
            name=name,
            home=str(home or self.folder),
            survey=str(self.folder / "survey"),
            model=MMAEConfig(
                modalities=ModalitiesConfig(image=ImageConfig(patch=16), spectrum=SpectrumConfig(patch=512)),
                width=32,
                depth=1,
                heads=2,
                decoder_width=16,
            ),
            stream=StreamConfig(batch_size=32, shuffle_rows=64, lanes=2),
            optim=OptimConfig(steps=steps, warmup_steps=2),
            validation=ValidationConfig(every=every, galaxies=64),
            score=ScoreConfig(bootstrap=50, examples=2),
            compute=ComputeConfig(threads=1, device="cpu", **compute),
        )
        return Run(config, self)

    def survey(self) -> Path:
        """Build a small survey with many shards, one of which can be damaged."""
        command = [
            sys.executable,
            str(ROOT / "ray_jobs" / "build_survey.py"),
            "--out",
            str(self.folder / "survey"),
            "--galaxies",
            str(GALAXIES),
        ]
        environment = os.environ | {"RAY_ADDRESS": self.ray_cluster.address, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, env=environment, check=True, capture_output=True, cwd=self.folder)
        return self.folder / "survey"

    def processes(self, title: str, node=None) -> list[psutil.Process]:
        """Ray processes with a title, on one node or on all nodes."""
        nodes = [node] if node is not None else self.ray_cluster.list_all_nodes()
        raylets = [p.process.pid for n in nodes for p in n.all_processes.get("raylet", [])]
        found = []
        for pid in raylets:
            if psutil.pid_exists(pid):
                found += processes_below(psutil.Process(pid), title)
        return found

    def workers(self, node=None) -> list[psutil.Process]:
        return self.processes("RayTrainWorker", node)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
