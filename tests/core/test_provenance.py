"""Provenance of a result: version, commit, libraries, seed and hash of the data."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
import torch

import mmae
from mmae.core import provenance as module
from mmae.core.provenance import provenance, provenance_line, provenance_tags


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path) -> Path:
    package = tmp_path / "repository" / "mmae"
    package.mkdir(parents=True)
    git(package.parent, "init", "-q")
    (package / "__init__.py").write_text("")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "first")
    return package


def test_versions_seed_and_data_are_named():
    found = provenance(seed=3, data="abc")
    assert found["version"] == mmae.__version__ and found["python"] == platform.python_version()
    assert f"torch {torch.__version__}" in found["libraries"] and found["host"]
    assert (found["seed"], found["data"]) == ("3", "abc")
    assert "seed" not in provenance() and "data" not in provenance()
    assert provenance_tags(seed=0)["mmae.seed"] == "0"
    line = provenance_line(seed=3, data="abc")
    assert "\n" not in line and mmae.__version__ in line and "abc" in line


def test_the_commit_of_a_checkout_and_its_changes(checkout):
    found = module._git(checkout)
    assert found == {"git_commit": git(checkout, "rev-parse", "HEAD"), "git_dirty": "no"}
    (checkout / "result.txt").touch()  # an untracked file is no change of the code
    assert module._git(checkout)["git_dirty"] == "no"
    (checkout / "__init__.py").write_text("changed = True\n")
    assert module._git(checkout)["git_dirty"] == "yes"


def test_an_installed_package_has_no_commit(checkout, tmp_path, monkeypatch):
    installed = checkout.parent / "venv" / "mmae"  # inside another repository, but not a file of it
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    assert module._git(installed) == {}
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert module._git(checkout) == {}
