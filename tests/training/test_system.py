"""The use of a GPU as a metric; tests/training/test_pictures.py has the other metrics of the machine."""

import pytest
import torch

from mmae.training.system import system_metrics

GPU = torch.device("cuda", 1)
MEMORY, UTILIZATION = "system/gpu_0_memory_usage_percentage", "system/gpu_0_utilization_percentage"


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {GPU: (30, 40)}[device])


def test_use_of_the_workers_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: {GPU: 64}[device])
    found = system_metrics(GPU)
    assert found[MEMORY] == 25 and found[UTILIZATION] == 64


class NVMLError(Exception):
    """As in nvidia-ml-py: derived from no standard error."""


@pytest.mark.parametrize("error", [ModuleNotFoundError, RuntimeError, NVMLError])
def test_a_gpu_that_does_not_report_its_use_has_no_metric_of_it(error, monkeypatch):
    def unknown(device):
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", unknown)
    found = system_metrics(GPU)
    assert UTILIZATION not in found and found[MEMORY] == 25
