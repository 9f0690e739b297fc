"""A prediction on two nodes of Ray, one of which is killed in the middle.

python -m tests.catalogue.lost_node BUNDLE SURVEY OUT GATE
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from mmae.catalogue import job
from mmae.catalogue.state import PIECES, unfinished_folder
from mmae.core.ray_setup import WORKER_ENV, start_ray
from tests.catalogue.slow_job import FREE, GATE, WaitingWorker
from tests.catalogue.small import options

FREE_PIECES = 4


def main(bundle: Path, survey: Path, out: Path, gate: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    lost, _ = (cluster.add_node(num_cpus=1) for _ in range(2))
    environment = WORKER_ENV | {GATE: str(gate), FREE: str(FREE_PIECES)}
    hook = "mmae.core.ray_setup.set_up_worker"
    ray.init(address=cluster.address, runtime_env={"env_vars": environment, "worker_process_setup_hook": hook})
    start_ray()

    def kill_node() -> None:
        pieces = unfinished_folder(out) / PIECES
        while len(list(pieces.glob("*.json"))) < FREE_PIECES:
            time.sleep(0.1)
        cluster.remove_node(lost, allow_graceful=False)
        print("the node is killed", flush=True)
        gate.touch()

    threading.Thread(target=kill_node, daemon=True).start()
    job.PieceWorker = WaitingWorker
    job.predict_job(options(bundle, survey, out))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
