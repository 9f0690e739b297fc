"""The trials of a study as plain records, read from Optuna's database."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from mmae.metrics.bootstrap import Score
from mmae.study.config import Space
from mmae.study.space import Parameters, distributions
from mmae.study.storage import validations_of

MIN_ANALYSED = 6  # with fewer trials an importance or a contour has no meaning
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
COST_DIRECTIONS = {"full_flops": "minimize", "throughput": "maximize"}


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        state: "complete", "stopped", "failed", "running" or "waiting".
        parameters: value of each varied parameter.
        validations: sigma_NMAD by number of the validation, 1 ... `StudyConfig.looks`.
        scatter: sigma_NMAD of the last validation, with its bootstrap error.
        progress: fraction of the budget that was spent.
        costs: progress, seconds, galaxies_seen, galaxies_per_s, flops, flops_per_galaxy, full_flops,
            parameters (number of weights), throughput (inference, galaxies/s).
        reason: why a trial failed.
        run_id: of its MLflow run.
    """

    number: int
    state: str
    parameters: Parameters
    validations: dict[int, float]
    scatter: Score
    progress: float
    costs: dict[str, float]
    reason: str
    run_id: str

    def cost(self, name: str) -> float:
        return self.costs.get(name, math.nan)


def read_records(trials: Iterable[FrozenTrial]) -> list[TrialRecord]:
    """All trials that were started, by number."""
    return [_record(trial) for trial in trials if trial.state != TrialState.WAITING]


def _record(trial: FrozenTrial) -> TrialRecord:
    notes = trial.user_attrs
    costs = notes.get("costs", {})
    return TrialRecord(
        trial.number,
        STATES[trial.state],
        dict(trial.params),
        validations_of(trial),
        Score(*notes.get("scatter", (math.nan, math.nan, math.nan)), n=0),
        costs.get("progress", 0.0),
        costs,
        notes.get("reason", ""),
        notes.get("run_id", ""),
    )


def complete(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials of the full budget, lowest scatter first."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: r.scatter.value)


def common_validation(records: Sequence[TrialRecord]) -> int:
    """Number of the last validation that every trial reached which did not fail; 0 if there is none.

    There all trials can be compared at equal budget.
    """
    last = [max(r.validations, default=0) for r in records if r.state in ("complete", "stopped")]
    return min(last, default=0)


def optuna_study(
    records: Sequence[TrialRecord],
    space: Space,
    values: Callable[[TrialRecord], Sequence[float]],
    directions: Sequence[str] = ("minimize",),
) -> optuna.Study:
    """An Optuna study in memory with given objective values, for Optuna's analyses and figures.

    Trials keep their numbers: numbers without a record become failed trials, which Optuna ignores.
    """
    study = optuna.create_study(directions=directions)
    by_number = {r.number: r for r in records}
    spread = distributions(space)
    for number in range(max(by_number, default=-1) + 1):
        record = by_number.get(number)
        if record is None:
            study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
            continue
        study.add_trial(
            optuna.trial.create_trial(
                params=record.parameters,
                distributions={name: spread[name] for name in record.parameters},
                values=list(values(record)),
            )
        )
    return study


def study_at(records: Sequence[TrialRecord], validation: int, space: Space) -> optuna.Study:
    """The trials that reached a validation, with their scatter there as the objective."""
    reached = [r for r in records if validation in r.validations and r.state != "failed"]
    return optuna_study(reached, space, lambda r: [r.validations[validation]])


def cost_study(records: Sequence[TrialRecord], cost: str, space: Space) -> optuna.Study:
    """Full trials with two objectives, a cost and the scatter; `best_trials` is their Pareto front."""
    full = [r for r in records if r.state == "complete"]
    return optuna_study(full, space, lambda r: [r.cost(cost), r.scatter.value], (COST_DIRECTIONS[cost], "minimize"))


def importance_evaluator(seed: int) -> FanovaImportanceEvaluator:
    """fANOVA: share of the variance that each parameter explains (Hutter, Hoos & Leyton-Brown 2014)."""
    return FanovaImportanceEvaluator(seed=seed)


def importances(records: Sequence[TrialRecord], validation: int, space: Space, seed: int) -> dict[str, float]:
    """Share of the variance of the scatter at one validation that each parameter explains, largest first.

    Empty for fewer than MIN_ANALYSED trials.
    """
    study = study_at(records, validation, space)
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < MIN_ANALYSED:
        return {}
    return optuna.importance.get_param_importances(study, evaluator=importance_evaluator(seed))
