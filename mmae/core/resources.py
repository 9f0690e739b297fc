"""Check that a cluster has the resources of a job; without this Ray waits for them without a word."""

from __future__ import annotations

import json
import math
import time
from datetime import datetime, timedelta

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.experimental.internal_kv import _internal_kv_get

from mmae.core.errors import InputError

WAIT_MINUTES = 30.0  # for nodes that an autoscaler starts; installing the packages takes about ten minutes
POLL_SECONDS = 5.0
UNNAMED_TYPE = "node_"  # followed by the id of a node that no autoscaler has started

Resources = dict[str, float]


def require_resources(n: int, each: Resources, what: str, remedy: str = "", minutes: float = WAIT_MINUTES) -> None:
    """Check that n tasks with these resources fit into the cluster at the same time; wait for nodes that may start.

    Each task must fit on one node. Prints a line if it waits for new nodes, or if other jobs use the resources.

    Args:
        what: the tasks, for messages.
        remedy: what the user can change, for messages.
        minutes: how long to wait for an autoscaler.

    Raises:
        InputError: the cluster is too small and no autoscaler may enlarge it, or did not in time.
    """
    each = {name: amount for name, amount in each.items() if amount}
    if fitting(each, node_resources()) >= n:
        if fitting(each, [ray.available_resources()]) < n:
            print(f"waiting for other jobs on this cluster: {_wanted(n, each, what)}, {_free(each)}.", flush=True)
        return
    wanted = f"{_wanted(n, each, what)}; {_has(each)}"
    if not has_autoscaler():
        raise InputError(f"{wanted}. {remedy or 'Start Ray on a larger machine or cluster.'}")
    until = datetime.now() + timedelta(minutes=minutes)
    print(f"{wanted}. Waiting for new nodes until {until:%H:%M}.", flush=True)
    request_resources(bundles=[each] * n)
    try:
        while fitting(each, node_resources()) < n:
            if datetime.now() > until:
                raise InputError(
                    f"{_wanted(n, each, what)}; {_has(each)} after {minutes:g} minutes. See `ray status` for the "
                    f"reason, then run the same command again."
                )
            time.sleep(POLL_SECONDS)
    finally:
        request_resources(bundles=[])


def has_autoscaler() -> bool:
    """Whether nodes may be added to the cluster: their types have names then, such as "gpu_worker"."""
    cluster = get_cluster_status(ray.get_runtime_context().gcs_address)  # KubeRay, and version 2 of the autoscaler
    types = {node.ray_node_type_name for node in (*cluster.active_nodes, *cluster.idle_nodes)}
    status = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")  # version 1, which `ray up` starts
    types |= set(((status.get("autoscaler_report") or {}).get("node_type_mapping") or {}).values())
    return any(name and not name.startswith(UNNAMED_TYPE) for name in types)


def node_resources() -> list[Resources]:
    """The resources of each node of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def fitting(each: Resources, nodes: list[Resources]) -> int:
    """How many tasks with these resources fit on the nodes at the same time."""
    return sum(min(math.floor(node.get(name, 0) / amount + 1e-9) for name, amount in each.items()) for node in nodes)


def _wanted(n: int, each: Resources, what: str) -> str:
    amounts = " and ".join(f"{amount:g} {name}" for name, amount in each.items())
    return f"{what}: {amounts} requested" if n == 1 else f"{what}: {n} x {amounts} requested"


def _has(each: Resources) -> str:
    nodes = node_resources()
    total = ", ".join(f"{sum(node.get(name, 0) for node in nodes):g} {name}" for name in each)
    return f"the cluster has {total} on {len(nodes)} node{'s' if len(nodes) != 1 else ''}"


def _free(each: Resources) -> str:
    free = ray.available_resources()
    return ", ".join(f"{free.get(name, 0):g} {name} free" for name in each)
