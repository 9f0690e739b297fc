"""Use of the machine of a worker, under the names that MLflow shows as system metrics."""

from __future__ import annotations

import psutil
import torch

PERCENT = 100.0


def system_metrics(device: torch.device) -> dict[str, float]:
    """Use of all CPUs since the last call, of the main memory, and of the worker's GPU memory, in percent.

    The first call returns 0 for the CPUs.
    """
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_percentage": psutil.virtual_memory().percent,
    }
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        found["system/gpu_memory_usage_percentage"] = PERCENT * (1 - free / total)
    return found
