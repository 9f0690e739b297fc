"""Progress is a bar in a terminal and a few lines in a log file."""

from __future__ import annotations

import io

import pytest
from ray.experimental import tqdm_ray

from mmae.core import progress
from mmae.core.progress import ProgressBar
from mmae.core.worker_progress import WorkerBar, WorkerBars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time of tqdm, seconds."""
    now = [100.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def test_a_log_file_gets_a_line_at_the_start_now_and_then_and_at_the_end(clock):
    file = io.StringIO()
    for _ in ProgressBar(range(100), desc="build", unit="chunk", file=file):
        clock[0] += 1
    text = file.getvalue()
    assert "\r" not in text and "\n\n" not in text and "\x1b" not in text
    lines = text.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "build: 0/100",
        "build: 30/100",
        "build: 60/100",
        "build: 90/100",
        "build: 100/100",
    ]
    assert "30%, 01:10 left" in lines[1] and "1.00chunk/s" in lines[1]


def test_a_terminal_gets_a_bar_in_one_line(clock):
    file = Terminal()
    bar = ProgressBar(total=800, desc="training", unit="step", file=file)
    bar.set_postfix_str("99 galaxies/s, loss 11.29")
    for _ in range(3):
        clock[0] += 1
        bar.update(200)
    bar.close()
    assert file.getvalue().count("\n") == 1 and "\rtraining: 600/800 |" in file.getvalue()
    assert file.getvalue().rstrip().endswith("left, 99 galaxies/s, loss 11.29")


def test_without_a_total_the_count_is_shown(clock):
    for file in (io.StringIO(), Terminal()):
        bar = ProgressBar(desc="index", unit=" galaxies", file=file)
        clock[0] += 60
        bar.update(1_200)
        bar.close()
        assert "index: 1200, 01:00" in file.getvalue() and "20.00 galaxies/s" in file.getvalue()


def test_a_disabled_bar_prints_nothing(capsys):
    assert list(ProgressBar([1, 2], desc="few", disable=True)) == [1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def bars(monkeypatch) -> WorkerBars:
    shown = WorkerBars()
    monkeypatch.setattr(tqdm_ray, "_manager", shown)
    return shown


def state(step: int, worker: str = "a", **changed) -> dict:
    values = {"desc": "training", "total": 8, "unit": "step", "x": step, "uuid": worker, "closed": False}
    return values | {"note": f"loss {9 - step}"} | changed


def test_the_driver_shows_the_bar_of_a_worker_once(bars, clock, capsys):
    for step in range(9):
        bars.process_state_update(state(step))
        clock[0] += 10
    bars.process_state_update(state(8, closed=True))
    out, err = capsys.readouterr()
    # The first step shows that the training has started.
    assert [line.split(",")[0].split()[1] for line in err.splitlines()] == ["0/8", "1/8", "3/8", "6/8", "8/8"]
    assert "loss 6" in err.splitlines()[2] and out == "" and not bars.bars


def test_a_restarted_worker_continues_the_bar(bars, clock, capsys):
    for step in (0, 5):
        bars.process_state_update(state(step))
    clock[0] += progress.LINE_SECONDS
    bars.process_state_update(state(6))
    clock[0] += progress.LINE_SECONDS
    bars.process_state_update(state(4, worker="b"))
    clock[0] += progress.LINE_SECONDS
    bars.process_state_update(state(5, worker="b", closed=True))
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()][2:] == [
        "training: 6/8",
        "training: 5/8",
    ]


def test_lines_of_a_worker_are_printed_as_they_are(bars, capsys):
    bar = WorkerBar(total=3, desc="scores", unit="galaxy")
    bar.write("step 2/3: loss 1")
    assert list(bar.counted(["ab", "cd"], "test split")) == ["ab", "cd"]
    bar.close()
    out, err = capsys.readouterr()
    assert out == "step 2/3: loss 1\n"
    assert err.splitlines()[-1].startswith("scores: 3/3, 100%") and err.rstrip().endswith("test split")
