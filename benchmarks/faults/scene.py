"""Where faults are tried: a Ray cluster of several nodes on this machine, a small survey, and runs of the real job."""

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
from mmae.model.mmae import MMAEConfig
from mmae.model.modalities import ModalitiesConfig
from mmae.model.modalities.image import ImageConfig
from mmae.model.modalities.spectrum import SpectrumConfig
from mmae.recipes import recipe
from mmae.tracking.runs import Tracker, tracking_uri

ROOT = Path(__file__).parents[2]
GALAXIES = 600
STEPS, EVERY = 40, 4  # of every run, and between two of its checkpoints
QUICK_STEPS = 20  # of the runs of the tests
PATIENCE_S = 600.0  # four workers on two cores make one step a second
STORE_BYTES = 300 * 2**20  # of each node's object store: small, so that it can be filled


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:.0f} s for {what}")
        time.sleep(0.05)


def checkpoints(run_dir: Path) -> dict[int, Path]:
    """Those that Ray Train would go on from, by step."""
    snapshot = run_dir / "checkpoint_manager_snapshot.json"
    try:
        text = snapshot.read_text()
        return {
            json.loads((p / "state.json").read_text())["step"]: p
            for p in run_dir.glob("checkpoint_2*")
            if p.name in text
        }
    except (OSError, ValueError):  # one that is removed or written while we look
        return {}


def processes_below(root: psutil.Process, title: str) -> list[psutil.Process]:
    """Those that a process has started, it or one of them, and that have the title."""
    return [p for p in root.children(recursive=True) if title in _title(p)]


@dataclass
class Run:
    """One training run, and the process that drives it now."""

    config: RunConfig
    scene: Scene
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    newest_at_start: int = 0  # the last checkpoint when the command was given, damaged or not

    @property
    def folder(self) -> Path:
        return self.config.home_path / "runs" / self.config.name

    @property
    def log(self) -> Path:
        return self.scene.folder / f"{self.config.name}.log"

    def start(self) -> None:
        """Give the command that the user would give, the first time or again."""
        self.newest_at_start = self.last_step()
        file = self.scene.folder / f"{self.config.name}.yaml"
        file.write_text(to_yaml(self.config))
        environment = (
            os.environ | {"RAY_ADDRESS": self.scene.cluster.address, "PYTHONPATH": str(ROOT)} | self.environment
        )
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "ray_jobs" / "pretrain.py"), "--config", str(file)],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=self.scene.folder,
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
        return self.process.wait(timeout=PATIENCE_S)

    def end(self) -> None:
        """Leave nothing behind that would take the CPUs of the next run."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def losses(self) -> dict[int, float]:
        """Validation loss by step, as MLflow has it."""
        uri = self.environment.get("MLFLOW_TRACKING_URI") or tracking_uri(self.config.home_path)
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(self.config.experiment).experiment_id
        (run,) = client.search_runs([experiment], f"attributes.run_name = '{self.config.name}'")
        return dict(zip(*Tracker(uri, run.info.run_id).history("val/loss"), strict=True))

    def weights(self) -> dict:
        return load_file(self.checkpoints()[self.config.optim.steps] / "training.safetensors")


class Scene:
    """A head that runs no training, and nodes of two CPUs each."""

    def __init__(self, folder: Path, nodes: int = 1):
        self.folder = folder
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": STORE_BYTES,
                # Ray Train asks the dashboard whether drivers live.
                "include_dashboard": True,
                "dashboard_port": free_port(),
            },
        )
        self.nodes = [self.add_node() for _ in range(nodes)]

    def add_node(self):
        return self.cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)

    def close(self) -> None:
        self.cluster.shutdown()

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
        """Small, and with many shards, so that one of them can be damaged."""
        command = [
            sys.executable,
            str(ROOT / "ray_jobs" / "build_survey.py"),
            "--out",
            str(self.folder / "survey"),
            "--galaxies",
            str(GALAXIES),
        ]
        environment = os.environ | {"RAY_ADDRESS": self.cluster.address, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, env=environment, check=True, capture_output=True, cwd=self.folder)
        return self.folder / "survey"

    def processes(self, title: str, node=None) -> list[psutil.Process]:
        """Ray processes of a title, on one node or on all of them."""
        nodes = [node] if node is not None else self.cluster.list_all_nodes()
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
