"""The import contracts hold, and the documentation refers to files that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
FILE = re.compile(
    r"(?<![\w/.-])((?:mmae|tests|benchmarks|ray_jobs|tune|deploy|docs)/[\w/.-]+\.(?:py|md|yaml|json|png))"
)


def test_rooms_import_only_the_rooms_below_them():
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_of_the_documentation_exist(page):
    text = page.read_text()
    links = [link for link in LINK.findall(text) if not link.startswith(("http", "mailto"))]
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in FILE.findall(text) if not (ROOT / path).exists()]
    assert not missing


def test_paths_in_code_exist():
    """Docstrings and comments name files of the project."""
    missing = {}
    for file in sorted((ROOT / "mmae").rglob("*.py")):
        wrong = [path for path in FILE.findall(file.read_text()) if not (ROOT / path).exists()]
        if wrong:
            missing[str(file.relative_to(ROOT))] = wrong
    assert not missing
