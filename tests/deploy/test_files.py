"""The files that start clusters are valid for Ray and Kubernetes, with the versions of constraints.txt."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from mmae.recipes import parse_run
from tests.deploy.rayjob import RAYJOB

ROOT = Path(__file__).parents[2]
AWS, ON_PREMISE, RAY_JOB = ROOT / "cluster.yaml", ROOT / "deploy/on_premise.yaml", ROOT / "deploy/rayjob.yaml"
# Raised by the checks of `ray up` before it starts anything.
INVALID = (jsonschema.ValidationError, click.ClickException, ValueError, TypeError, KeyError)
RAY_FILES = pytest.mark.parametrize("path", [AWS, ON_PREMISE], ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def check_cluster(config: dict[str, Any]) -> None:
    """The checks of `ray up` before it requests resources."""
    validate_config(prepare_config(copy.deepcopy(config)))


def check_job(config: dict[str, Any]) -> None:
    """The schemas of KubeRay and Kubernetes."""
    jsonschema.validate(config, RAYJOB)
    cluster = config["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def changed(config: dict[str, Any], place: tuple, value: Any) -> dict[str, Any]:
    """A copy with the value at a place replaced, or removed if it is None."""
    config = copy.deepcopy(config)
    here = config
    for key in place[:-1]:
        here = here[key]
    if value is None:
        del here[place[-1]]
    else:
        here[place[-1]] = value
    return config


@RAY_FILES
def test_cluster_files_are_valid_for_ray(path):
    check_cluster(read(path))


def test_job_is_valid_for_kubernetes():
    check_job(read(RAY_JOB))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("max_worker",), 8),  # an unknown name
        (("max_workers",), "many"),
        (("idle_timeout_minutes",), -1),
        (("head_node_type",), "hed"),
        (("available_node_types", "gpu_worker", "resources"), None),
        (("available_node_types", "gpu_worker", "instance"), "g6.4xlarge"),
        (("provider", "type"), None),
        (("docker", "images"), "ray"),
        (("auth", "ssh_user"), 7),
    ],
)
def test_invalid_fields_of_the_aws_file_are_refused(place, value):
    with pytest.raises(INVALID):
        check_cluster(changed(read(AWS), place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("head",), "head.example.org"),
        (("max_workers",), "two"),
        (("provider", "worker_ips"), None),
        (("provider", "head_ip"), None),
        (("auth", "user"), "astro"),
        (("worker_start_ray_commands",), "ray start"),
    ],
)
def test_invalid_fields_of_the_on_premise_file_are_refused(place, value):
    with pytest.raises(INVALID):
        check_cluster(changed(read(ON_PREMISE), place, value))


CLUSTER = ("spec", "rayClusterSpec")
WORKER = (*CLUSTER, "workerGroupSpecs", 0)
CONTAINER = (*WORKER, "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("kind",), "RayJobs"),
        (("spec", "entrypoint"), None),
        (("spec", "shutdownAfterFinish"), True),
        ((*CLUSTER, "authOptions", "mode"), "disabled"),
        ((*WORKER, "minReplica"), 1),
        ((*WORKER, "replicas"), "4"),
        ((*CONTAINER, "image"), 7),
        ((*CONTAINER, "volumeMount"), []),
        ((*CONTAINER, "resources", "limit"), {}),
        ((*WORKER, "template", "spec", "containers"), None),
    ],
)
def test_invalid_fields_of_the_job_are_refused(place, value):
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check_job(changed(read(RAY_JOB), place, value))


@RAY_FILES
def test_commands_have_valid_shell_syntax(path):
    config = read(path)
    commands = [command for key, values in config.items() if key.endswith("commands") for command in values]
    assert len(commands) >= 8
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)


@RAY_FILES
def test_nodes_require_the_token_and_the_dashboard_is_on_loopback(path):
    config = read(path)
    started = [
        command
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in config[key]
        if "ray start" in command
    ]
    assert len(started) == 2 and all("RAY_AUTH_MODE=token" in command for command in started)
    assert "--dashboard-host=127.0.0.1" in started[0] and "0.0.0.0" not in path.read_text()
    assert any(place.endswith(".ray/auth_token") for place in config["file_mounts"])


def test_versions_equal_the_constraints():
    constraints = (ROOT / "constraints.txt").read_text()
    ray = re.search(r"^ray==(\S+)", constraints, re.MULTILINE).group(1)
    image = f"rayproject/ray:{ray}-py311-gpu"
    assert read(AWS)["docker"]["image"] == image
    assert f"FROM {image}\n" in (ROOT / "deploy/Dockerfile").read_text()
    assert read(RAY_JOB)["spec"]["rayClusterSpec"]["rayVersion"] == ray


def test_entrypoint_is_a_valid_command():
    python, script, *options = shlex.split(read(RAY_JOB)["spec"]["entrypoint"])
    workers = read(RAY_JOB)["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert python == "python" and (ROOT / "ray_jobs" / Path(script).name).exists()
    run = parse_run("", options)
    assert run.compute.device == "gpu" and run.compute.workers <= workers["replicas"] <= workers["maxReplicas"]
