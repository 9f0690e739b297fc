"""Use of the machine of a worker, under the names that MLflow shows as system metrics."""

from __future__ import annotations

import psutil
import torch

PERCENT = 100.0


def system_metrics(device: torch.device) -> dict[str, float]:
    """Use of all CPUs since the last call, of the main memory, and of the worker's GPU and its memory, in percent.

    The first call returns 0 for the CPUs. The worker's GPU is `gpu_0`, whatever its number on the machine.
    """
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_percentage": psutil.virtual_memory().percent,
    }
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        found["system/gpu_0_memory_usage_percentage"] = PERCENT * (1 - free / total)
        utilization = gpu_utilization(device)
        if utilization is not None:
            found["system/gpu_0_utilization_percentage"] = utilization
    return found


def gpu_utilization(device: torch.device) -> float | None:
    """Percent of the last sample period (1/6 to 1 s) in which the GPU computed (NVML).

    None without the package nvidia-ml-py, or if the GPU does not report it (a part of a GPU, MIG).
    """
    try:
        return float(torch.cuda.utilization(device))
    except Exception:  # also pynvml.NVMLError, which has no name without nvidia-ml-py
        return None
