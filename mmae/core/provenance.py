"""Where a result comes from: versions, git commit, host, seed and hash of the data. Part of no hash."""

from __future__ import annotations

import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import mmae

LIBRARIES = ("torch", "ray", "numpy", "pyarrow", "astropy", "optuna", "mlflow")
TAG = "mmae."  # prefix of the tags in MLflow
GIT_TIMEOUT_S = 10


@cache
def _code() -> dict[str, str]:
    """Version, commit, host and libraries of this process, which do not change while it runs."""
    found = {"version": mmae.__version__, **_git(Path(mmae.__file__).parent)}
    libraries = [f"{name} {version}" for name in LIBRARIES if (version := _installed(name))]
    return found | {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "libraries": ", ".join(libraries),
    }


def provenance(*, seed: int | None = None, data: str = "") -> dict[str, str]:
    """The provenance of a result as plain text values.

    Args:
        seed: of the result, if it has one.
        data: content hash of its data, if there is one.

    Returns:
        version, git_commit and git_dirty ("yes" or "no"; both only in a git checkout), host, python, libraries, and
        seed and data if given.
    """
    found = dict(_code())
    if seed is not None:
        found["seed"] = str(seed)
    if data:
        found["data"] = data
    return found


def provenance_tags(*, seed: int | None = None, data: str = "") -> dict[str, str]:
    """The same as tags of an MLflow run: mmae.version, mmae.git_commit, ..."""
    return {f"{TAG}{name}": value for name, value in provenance(seed=seed, data=data).items()}


def provenance_line(*, seed: int | None = None, data: str = "") -> str:
    """The same as one line for a report."""
    found = provenance(seed=seed, data=data)
    commit = found.pop("git_commit", "")
    dirty = found.pop("git_dirty", "no") == "yes"
    parts = [f"mmae {found.pop('version')}"]
    if commit:
        parts.append(f"commit {commit[:12]}" + (" with uncommitted changes" if dirty else ""))
    parts += [f"host {found.pop('host')}", f"python {found.pop('python')}", found.pop("libraries")]
    names = {"seed": "seed", "data": "content hash of the data"}
    return ", ".join([*parts, *(f"{names[name]} {value}" for name, value in found.items())])


def _git(package: Path) -> dict[str, str]:
    """Commit of the checkout that contains the package, and whether its files have changed; empty if it has none."""
    # Installed below somebody else's repository, the package is not one of its files.
    if _run_git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {}
    commit = _run_git(package, "rev-parse", "HEAD")
    if commit is None:
        return {}
    # Untracked files do not count: they are mostly results.
    changed = _run_git(package, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return {"git_commit": commit, "git_dirty": "yes" if changed or changed is None else "no"}


def _run_git(folder: Path, *arguments: str) -> str | None:
    """The output of git in a folder; None if git is absent or reports an error."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
