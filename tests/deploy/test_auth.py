"""Who can reach a Ray started as the README says, and one that a script starts for itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

RAY = str(Path(sys.executable).with_name("ray"))
OWN_RAY = """
import sys
import ray
from mmae.core.ray_setup import start_ray
start_ray()
print("ready", flush=True)
sys.stdin.read()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def status_of(url: str, token: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


def listening(process: psutil.Process) -> set[str]:
    """Addresses on which a process and its children take connections."""
    addresses = set()
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            addresses |= {c.laddr.ip for c in one.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return addresses


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """`ray start --head` in a session of its own, with a token: address of its job server, environment, process."""
    home = tmp_path_factory.mktemp("auth")
    (home / ".ray").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"HOME": str(home), "RAY_AUTH_MODE": "token"}
    subprocess.run([RAY, "get-auth-token", "--generate"], env=environment, check=True, capture_output=True, timeout=120)
    dashboard = free_port()
    # In a folder of its own, so that no other test joins it.
    command = [
        RAY,
        "start",
        "--head",
        "--block",
        "--num-cpus=1",
        f"--port={free_port()}",
        f"--dashboard-port={dashboard}",
        f"--temp-dir={home / 'r'}",
        "--object-store-memory=100000000",
        # Its default port may be taken by another Ray on this machine, and then no job is taken.
        f"--dashboard-agent-listen-port={free_port()}",
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{dashboard}"
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                status_of(url)
                break
            assert time.monotonic() < deadline and process.poll() is None, (home / "log").read_text()
            time.sleep(0.5)
        yield url, environment, psutil.Process(process.pid)
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            with contextlib.suppress(psutil.Error):
                one.kill()
        process.wait(timeout=30)


def test_without_the_token_nobody_submits_or_reads(head):
    url, environment, _ = head
    token = (Path(environment["HOME"]) / ".ray" / "auth_token").read_text().strip()
    for path in ("/api/jobs/", "/api/version"):
        assert status_of(url + path) == 401
        assert status_of(url + path, "0" * len(token)) in (401, 403)
        assert status_of(url + path, token) == 200


def test_a_job_needs_the_token(head, tmp_path):
    url, environment, _ = head
    submit = [RAY, "job", "submit", "--address", url, "--", "python", "-c", "print('hello from the job')"]
    stranger = environment | {"HOME": str(tmp_path)}  # has no token, and makes none that fits
    refused = subprocess.run(submit, env=stranger, capture_output=True, text=True, timeout=120)
    assert refused.returncode != 0 and "hello from the job" not in refused.stdout
    deadline = time.monotonic() + 120
    while True:  # the node takes jobs some seconds after the server answers
        taken = subprocess.run(submit, env=environment, capture_output=True, text=True, timeout=120)
        if "No available agent" not in taken.stderr or time.monotonic() > deadline:
            break
    assert taken.returncode == 0 and "hello from the job" in taken.stdout, taken.stderr


def test_the_job_server_is_on_loopback(head):
    url, _, process = head
    port = int(url.rpartition(":")[2])
    found = {
        c.laddr.ip
        for one in process.children(recursive=True)
        for c in one.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    }
    assert found and found <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_a_ray_that_a_script_starts_listens_on_loopback_only():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    # Where no other Ray has left its address; a short path, as sockets go there.
    environment["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="mmae-")
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_RAY],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout.readline() == "ready\n"
        addresses = listening(psutil.Process(process.pid))
        assert addresses and addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    finally:
        process.communicate("", timeout=60)
        shutil.rmtree(environment["RAY_TMPDIR"], ignore_errors=True)
