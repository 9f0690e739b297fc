"""Fill the object store of a Ray cluster and keep it full: fill_object_store.py ADDRESS BYTES."""

import sys
import time

import numpy as np
import ray

ray.init(sys.argv[1], logging_level="ERROR")


@ray.remote(num_cpus=0)
def block(n_bytes: int) -> np.ndarray:
    return np.ones(n_bytes, dtype=np.uint8)


blocks = [block.remote(int(sys.argv[2]) // 8) for _ in range(16)]
ray.wait(blocks, num_returns=len(blocks))
print("full", flush=True)
time.sleep(600)
