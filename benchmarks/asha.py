"""Gain and cost of early stopping: a study with ASHA compared with the same trials without, one by one.

    python tune/sweep.py --name asha
    python tune/sweep.py --name full --repeat asha --scheduler none --concurrent 1
    python benchmarks/asha.py ~/mmae/studies/asha ~/mmae/studies/full --figure docs/images/asha.png

Prints times and winners, and plots the lowest scatter so far against time.
"""

import argparse
from datetime import datetime
from pathlib import Path

from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from mmae.metrics.redshift import scatter_difference
from mmae.report.score_table import with_error
from mmae.report.style import BLUE, GREY, VERMILLION, save_figure, style
from mmae.study.record import read_validation
from mmae.study.results import complete, read_records
from mmae.study.storage import read_store, validations_of

FULL = "no early stopping"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("asha", type=Path, help="folder of the study with ASHA")
    parser.add_argument("full", type=Path, help="folder of its repetition without")
    parser.add_argument("--figure", type=Path, default=Path("asha.png"))
    arguments = parser.parse_args()
    folders = {"ASHA": arguments.asha.expanduser(), FULL: arguments.full.expanduser()}
    trials = {name: read_store(folder).trials for name, folder in folders.items()}
    seconds = {}
    for name, these in trials.items():
        seconds[name] = (max(t.datetime_complete for t in these) - begin(these)).total_seconds()
        best = complete(read_records(these))[0]
        spent = sum(r.progress for r in read_records(these))
        print(
            f"{name:15} {len(these)} trials, {spent:.1f} full budgets, {seconds[name]:.0f} s; "
            f"best: trial {best.number}, {with_error(best.scatter)}"
        )
    print(f"ASHA took {seconds['ASHA'] / seconds[FULL]:.2f} of the time")
    chosen, best = (complete(read_records(these))[0].number for these in trials.values())
    folder = folders[FULL] / "trials"
    z_spec_N, chosen_N = read_validation(folder / f"{chosen:03d}")
    _, best_N = read_validation(folder / f"{best:03d}")
    difference = scatter_difference(z_spec_N, chosen_N, best_N, seed=0)
    print(f"at the full budget, ASHA's choice (trial {chosen}) is {with_error(difference)} worse than trial {best}")
    print(save_figure(draw(trials), arguments.figure))


def begin(trials: list[FrozenTrial]) -> datetime:
    return min(t.datetime_start for t in trials)


@style()
def draw(trials: dict[str, list[FrozenTrial]]) -> Figure:
    """Left: lowest scatter of the full trials so far against time. Right: validations of all trials."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, these), colour in zip(trials.items(), (VERMILLION, BLUE), strict=True):
        ended = sorted((t for t in these if t.state == TrialState.COMPLETE), key=lambda t: t.datetime_complete)
        minutes = [(t.datetime_complete - begin(these)).total_seconds() / 60 for t in ended]
        best = [min(t.values[0] for t in ended[: i + 1]) for i in range(len(ended))]
        last = (max(t.datetime_complete for t in these) - begin(these)).total_seconds() / 60
        left.step([*minutes, last], [*best, best[-1]], where="post", color=colour, label=name)
        left.plot(last, best[-1], "o", color=colour)
    for these, line in (
        (trials[FULL], {"color": GREY, "alpha": 0.6}),
        (trials["ASHA"], {"color": VERMILLION, "linewidth": 1.6}),
    ):
        for trial in these:
            right.plot(
                list(validations_of(trial)), list(validations_of(trial).values()), marker="o", markersize=2.5, **line
            )
    left.set(xlabel="minutes since the first trial", ylabel=r"best $\sigma_\mathrm{NMAD}$ of a full trial")
    left.legend()
    right.set(
        xlabel="validation",
        ylabel=r"validation $\sigma_\mathrm{NMAD}$, image only",
        yscale="log",
        title="the same trials with ASHA (red) and without (grey)",
    )
    return figure


if __name__ == "__main__":
    main()
