"""The commands of the documentation can be given: scripts, options, make targets and files exist."""

from __future__ import annotations

import pytest

from docs.check_commands import ROOT, commands, fault, pages

PAGE = """
Run `python ray_jobs/pretrain.py
--name a` or `make run`; `python ray_jobs/predict.py` alone is only a name.

```
# a comment
export A=1
python tune/sweep.py --dry-run \\
    --trials 3                 # another comment
ray job submit --working-dir . -- python ray_jobs/pretrain.py --seed 1
make run && make ui
```

An indented block:

    python benchmarks/gpu.py
"""


def test_commands_of_a_page():
    assert commands(PAGE) == [
        ["python", "tune/sweep.py", "--dry-run", "--trials", "3"],
        ["ray", "job", "submit", "--working-dir", "."],
        ["python", "ray_jobs/pretrain.py", "--seed", "1"],
        ["make", "run"],
        ["make", "ui"],
        ["python", "benchmarks/gpu.py"],
        ["python", "ray_jobs/pretrain.py", "--name", "a"],
        ["make", "run"],
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_documentation(page):
    faults = {" ".join(words): found for words in commands(page.read_text()) if (found := fault(words))}
    assert not faults


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("python ray_jobs/pretrain.py --optim.stepz 3", "--optim.stepz"),
        ("python ray_jobs/pretrain.py --optim.steps many", "many"),
        ("python ray_jobs/pretrain.py --config placeholder.yaml --bogus 1", "--bogus"),
        ("python ray_jobs/predict.py --survey s --out o", "--model"),
        ("python ray_jobs/absent.py", "ray_jobs/absent.py"),
        ("python tune/sweep.py --trials 0", "trials"),
        ("python benchmarks/gpu.py --bogus", "--bogus"),
        ("python -m benchmarks.absent", "benchmarks.absent"),
        ("make absent", "absent"),
        ("ray start --heads", "--heads"),
        ("ray up deploy/absent.yaml", "deploy/absent.yaml"),
    ],
)
def test_faults_are_found(command, named):
    assert named in (fault(command.split()) or "")


@pytest.mark.parametrize(
    "command",
    [
        "python ray_jobs/pretrain.py --config placeholder.yaml --name NAME --traceback",
        "python tune/sweep.py --recipe paper --space.width",
        "python -m pytest -m slow",
        "ray start --head",
    ],
)
def test_good_commands(command):
    assert fault(command.split()) is None
