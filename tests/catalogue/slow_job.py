"""A process that predicts on Ray and waits at a gate in the middle, to be killed there.

python -m tests.catalogue.slow_job BUNDLE SURVEY OUT GATE FREE

When FREE pieces are finished, the next ones wait until the file GATE exists.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import ray

from mmae.catalogue import job
from mmae.catalogue.piece import PieceWorker
from mmae.catalogue.state import PIECES
from mmae.core.ray_setup import WORKER_ENV, start_ray
from tests.catalogue.small import options

GATE, FREE = "TEST_GATE", "TEST_FREE"


class WaitingWorker(PieceWorker):
    def __call__(self, job: dict) -> dict:
        finished = self.task.folder / PIECES
        while len(list(finished.glob("*.json"))) >= int(os.environ[FREE]) and not Path(os.environ[GATE]).exists():
            time.sleep(0.02)
        return super().__call__(job)


if __name__ == "__main__":
    bundle, survey, out = (Path(argument) for argument in sys.argv[1:4])
    environment = WORKER_ENV | {GATE: sys.argv[4], FREE: sys.argv[5]}
    ray.init(address="local", num_cpus=2, include_dashboard=False, runtime_env={"env_vars": environment})
    start_ray()
    from tests.catalogue.slow_job import WaitingWorker as Worker  # importable in the actors, unlike __main__

    job.PieceWorker = Worker
    job.predict_job(options(bundle, survey, out))
