"""Progress of a study: a live table in the terminal, or one line for each finished trial in a log file."""

from __future__ import annotations

import time
from typing import Any, Self

from ray import tune
from ray.tune.experiment import Trial
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from mmae.study.columns import parameter_columns
from mmae.study.objective import Measure
from mmae.study.trial import NUMBER

EVERY = 1.0  # seconds between two updates
MAX_ROWS = 24  # a taller table would scroll
STATES = {Trial.PENDING: "waiting", Trial.RUNNING: "running", Trial.PAUSED: "waiting", Trial.ERROR: "failed"}


class LiveTable(tune.ProgressReporter):
    """Ray Tune's reporter: number, parameters, galaxies seen, criterion and state of every trial.

    A context manager: the table is shown between enter and exit.
    """

    def __init__(self, console: Console, n_trials: int, n_before: int, criterion: Measure):
        self.console, self.n_trials, self.n_before, self.criterion = console, n_trials, n_before, criterion
        self.live = Live(console=console, transient=True, auto_refresh=False)
        self.drawn = 0.0
        self.printed: set[int] = set()

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray Tune pickles reporters; a console cannot be pickled

    def should_report(self, trials: list[Trial], done: bool = False) -> bool:
        return done or time.monotonic() - self.drawn > EVERY

    def report(self, trials: list[Trial], done: bool, *sys_info: str) -> None:
        self.drawn = time.monotonic()
        if self.console.is_terminal:
            self.live.update(self._table(trials), refresh=True)
            return
        for trial in trials:
            number = trial.config[NUMBER]
            if trial.is_finished() and number not in self.printed:
                self.printed.add(number)
                self.console.print(_line(trial, self.criterion), highlight=False, soft_wrap=True)

    def _table(self, trials: list[Trial]) -> Table:
        finished = sum(t.is_finished() for t in trials) + self.n_before
        table = Table(
            title=f"{finished} of {self.n_trials} trials finished",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 0, 0, 1),
        )
        names = [name for name in (trials[0].config if trials else {}) if name != NUMBER]
        headings = (
            "trial",
            *(column.heading for column in parameter_columns(names)),
            "galaxies\nseen",
            self.criterion.heading,
        )
        for heading in headings:
            table.add_column(heading, justify="right")
        table.add_column("state")
        for trial in _shown(trials):
            result = trial.last_result
            table.add_row(
                str(trial.config[NUMBER]),
                *(_text(trial.config[name]) for name in names),
                f"{result['galaxies_seen']:,.0f}" if self.criterion.key in result else "-",
                _value(result, self.criterion),
                _state(trial),
            )
        return table


def _shown(trials: list[Trial]) -> list[Trial]:
    """All trials; of more than `MAX_ROWS` the running ones and the last finished ones."""
    running = [t for t in trials if not t.is_finished()]
    finished = [t for t in trials if t.is_finished()]
    last = finished[::-1][: max(0, MAX_ROWS - len(running))]
    return sorted([*last, *running], key=lambda t: t.config[NUMBER])


def _state(trial: Trial) -> str:
    result = trial.last_result
    if trial.status == Trial.TERMINATED:
        return "complete" if result.get("finished") else f"stopped at {result.get('progress', 0):.0%}"
    return STATES[trial.status]


def _line(trial: Trial, criterion: Measure) -> str:
    config: dict[str, Any] = trial.config
    point = "  ".join(f"{name} {_text(value)}" for name, value in config.items() if name != NUMBER)
    heading = criterion.heading.replace("\n", " ")
    return f"trial {config[NUMBER]:>3}  {_state(trial):14}  {heading} {_value(trial.last_result, criterion):6}  {point}"


def _value(result: dict[str, Any], criterion: Measure) -> str:
    return format(result[criterion.key], criterion.format) if criterion.key in result else "-"


def _text(value: float) -> str:
    return f"{value:.3g}"
