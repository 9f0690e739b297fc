"""Ray Train with Ctrl-C as an ordinary KeyboardInterrupt, and without processes and imports that a run needs not."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any

import ray
from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import get_or_create_autoscaling_coordinator
from ray.exceptions import RayActorError
from ray.train import Result
from ray.train.backend import BackendConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from mmae.config import ComputeConfig
from mmae.core.ray_setup import started_here

# gloo for the numbers of `of_all_workers` (mmae/training/parallel.py), which are not on the GPU.
GPU_BACKEND = "cpu:gloo,cuda:nccl"


def start_coordinator() -> None:
    """Start the actor that Ray Train asks for the resources of its workers, without waiting for it.

    Otherwise Ray Train's controller starts it, waits up to five seconds, and logs a traceback if that was too short.
    """
    get_or_create_autoscaling_coordinator()


def train_worker(job: dict[str, Any]) -> None:
    """See `mmae.training.worker.train`, which only the workers import."""
    from mmae.training.worker import train

    train(job)


def backend(compute: ComputeConfig, use_gpu: bool) -> BackendConfig:
    """The process group of the workers. A single worker on a CPU needs none, and Ray's controller then no torch."""
    if compute.workers == 1 and compute.strategy == "ddp" and not use_gpu:
        return BackendConfig()
    from ray.train.torch import TorchConfig

    return TorchConfig(backend=GPU_BACKEND if use_gpu else None)


class InterruptibleTrainer(DataParallelTrainer):
    """Ctrl-C ends the workers and raises KeyboardInterrupt; with Ray's own handler the process ends silently."""

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        """Those of Ray but for two, each of which starts a process for a run.

        One hands data sets to workers, which here read them by themselves. The other frees the workers' resources if
        the controller dies; a Ray that this process has started ends with it.
        """
        unused: list[type] = [DatasetsCallback]
        if started_here():
            unused.append(PlacementGroupCleanerCallback)
        return [callback for callback in super()._create_default_callbacks() if type(callback) not in unused]

    def fit(self) -> Result:
        if threading.current_thread() is not threading.main_thread():
            return super().fit()
        before = signal.getsignal(signal.SIGINT)
        try:
            return super().fit()
        finally:
            signal.signal(signal.SIGINT, before)

    def _register_sigint_handler(self, controller: Any) -> None:
        def stop(signum: int, frame: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait for the workers
            with contextlib.suppress(RayActorError):
                ray.get(controller.abort.remote())
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, stop)
