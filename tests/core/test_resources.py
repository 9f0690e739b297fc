"""A cluster that is too small is reported at once, and waiting for new nodes has an end."""

from __future__ import annotations

import pytest
import ray

from mmae.core import resources
from mmae.core.errors import InputError
from mmae.core.resources import fitting, require_resources

SMALL = {"CPU": 2.0, "memory": 1e9}


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of one small node without an autoscaler; the values may be replaced."""
    state = {"nodes": [SMALL], "autoscaler": False, "free": {"CPU": 2.0}, "requested": []}
    monkeypatch.setattr(resources, "node_resources", lambda: state["nodes"])
    monkeypatch.setattr(resources, "has_autoscaler", lambda: state["autoscaler"])
    monkeypatch.setattr(resources, "request_resources", lambda bundles: state["requested"].append(bundles))
    monkeypatch.setattr(resources, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(ray, "available_resources", lambda: state["free"])
    return state


@pytest.mark.parametrize(
    ("each", "nodes", "n"),
    [
        ({"CPU": 1}, [SMALL], 2),
        ({"CPU": 2}, [{"CPU": 3}, {"CPU": 3}], 2),  # not 3: each task is on one node
        ({"CPU": 0.1}, [{"CPU": 0.3}], 3),
        ({"GPU": 1}, [SMALL], 0),
        ({"CPU": 1, "GPU": 1}, [{"CPU": 8, "GPU": 1}, {"CPU": 8}], 1),
        ({"CPU": 1}, [], 0),
    ],
)
def test_number_of_tasks_that_fit(each, nodes, n):
    assert fitting(each, nodes) == n


def test_a_cluster_that_is_large_enough_prints_nothing(cluster, capsys):
    require_resources(2, {"CPU": 1, "GPU": 0}, "workers")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("n", "each", "numbers"), [(4, {"CPU": 1}, ("4 x 1 CPU", "2 CPU")), (1, {"GPU": 1}, ("1 GPU", "0 GPU"))]
)
def test_what_is_requested_and_what_there_is(cluster, n, each, numbers):
    with pytest.raises(InputError) as caught:
        require_resources(n, each, "--compute.workers", "the remedy")
    assert all(part in str(caught.value) for part in (*numbers, "--compute.workers", "the remedy"))
    assert cluster["requested"] == []


def test_other_jobs_on_the_cluster_are_mentioned(cluster, capsys):
    cluster["free"] = {"CPU": 0.0}
    require_resources(1, {"CPU": 1}, "workers")
    assert "0 CPU free" in capsys.readouterr().out


def test_nodes_that_an_autoscaler_adds_are_waited_for(cluster, capsys, monkeypatch):
    cluster["autoscaler"] = True
    monkeypatch.setattr(resources.time, "sleep", lambda _: cluster.update(nodes=[SMALL, {"GPU": 2.0}]))
    require_resources(2, {"GPU": 1, "CPU": 0}, "workers")
    assert cluster["requested"] == [[{"GPU": 1}] * 2, []]
    assert "2 x 1 GPU" in capsys.readouterr().out


def test_waiting_for_nodes_ends(cluster, capsys):
    cluster["autoscaler"] = True
    with pytest.raises(InputError, match=r"2 x 1 GPU.*0\.001 minutes"):
        require_resources(2, {"GPU": 1}, "workers", minutes=0.001)
    assert cluster["requested"][-1] == []  # the request is withdrawn
    assert capsys.readouterr().out.count("\n") == 1
