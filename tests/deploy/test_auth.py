"""Access to Ray started as in the README, and to Ray started by a script."""

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

pytestmark = pytest.mark.long
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
    """Addresses on which a process and its children listen."""
    addresses = set()
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            addresses |= {c.laddr.ip for c in one.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return addresses


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """`ray start --head` with a token, in a separate session: address of the job server, environment, process."""
    home = tmp_path_factory.mktemp("auth")
    (home / ".ray").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"HOME": str(home), "RAY_AUTH_MODE": "token"}
    subprocess.run([RAY, "get-auth-token", "--generate"], env=environment, check=True, capture_output=True, timeout=120)
    dashboard = free_port()
    # In a separate folder, so that no other test connects to it; a short path, because of the length limit of sockets.
    sockets = tempfile.mkdtemp(prefix="r")
    command = [
        RAY,
        "start",
        "--head",
        "--block",
        "--num-cpus=1",
        f"--port={free_port()}",
        f"--dashboard-port={dashboard}",
        f"--temp-dir={sockets}",
        "--object-store-memory=100000000",
        # The default port may be used by another Ray on this machine; then no job would be accepted.
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
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                with contextlib.suppress(psutil.Error):
                    one.kill()
        process.wait(timeout=30)
        shutil.rmtree(sockets, ignore_errors=True)


def test_requests_without_the_token_are_refused(head):
    url, environment, _ = head
    token = (Path(environment["HOME"]) / ".ray" / "auth_token").read_text().strip()
    for path in ("/api/jobs/", "/api/version"):
        assert status_of(url + path) == 401
        assert status_of(url + path, "0" * len(token)) in (401, 403)
        assert status_of(url + path, token) == 200


def test_jobs_without_the_token_are_refused(head, tmp_path):
    url, environment, _ = head
    submit = [RAY, "job", "submit", "--address", url, "--", "python", "-c", "print('hello from the job')"]
    without_token = environment | {"HOME": str(tmp_path)}
    refused = subprocess.run(submit, env=without_token, capture_output=True, text=True, timeout=120)
    assert refused.returncode != 0 and "hello from the job" not in refused.stdout
    deadline = time.monotonic() + 120
    while True:  # the node accepts jobs some seconds after the server responds
        accepted = subprocess.run(submit, env=environment, capture_output=True, text=True, timeout=120)
        if "No available agent" not in accepted.stderr or time.monotonic() > deadline:
            break
    assert accepted.returncode == 0 and "hello from the job" in accepted.stdout, accepted.stderr


def test_job_server_listens_on_loopback(head):
    url, _, process = head
    port = int(url.rpartition(":")[2])
    found = {
        c.laddr.ip
        for one in process.children(recursive=True)
        for c in one.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    }
    assert found and found <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_ray_started_by_a_script_listens_on_loopback_only():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    # A folder without the address of another Ray; a short path, because of the length limit of socket paths.
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
        printed = iter(process.stdout.readline, "")  # start_ray says that it starts Ray
        assert "ready\n" in printed
        addresses = listening(psutil.Process(process.pid))
        assert addresses and addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    finally:
        process.communicate("", timeout=60)
        shutil.rmtree(environment["RAY_TMPDIR"], ignore_errors=True)
