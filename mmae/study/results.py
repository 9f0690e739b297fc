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
from mmae.study.objective import SCATTER, Measure
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


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        state: "complete", "stopped", "failed", "running" or "waiting".
        parameters: value of each varied parameter.
        validations: the study's criterion by number of the validation, 1 ... `StudyConfig.looks`.
        scatter: sigma_NMAD of the last validation, with its bootstrap error.
        progress: fraction of the budget that was spent.
        costs: progress, seconds, galaxies_seen, galaxies_per_s, flops, flops_per_galaxy, full_flops,
            parameters (number of weights), throughput (inference, galaxies/s), and reconstruction (error of what is
            hidden) of models that reconstruct. Studies of earlier versions do not have it.
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

    def score(self, measure: Measure) -> Score:
        """A number of the last validation, NaN if it is missing; only the scatter has an error."""
        return self.scatter if measure is SCATTER else Score(self.cost(measure.key), math.nan, math.nan, n=0)


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


def complete(records: Sequence[TrialRecord], criterion: Measure = SCATTER) -> list[TrialRecord]:
    """Trials of the full budget, lowest value of the criterion first."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: r.score(criterion).value)


def full_with(records: Sequence[TrialRecord], *measures: Measure) -> list[TrialRecord]:
    """Trials of the full budget that have all of these numbers."""
    full = (r for r in records if r.state == "complete")
    return [r for r in full if all(math.isfinite(r.score(measure).value) for measure in measures)]


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
    """The trials that reached a validation, with the criterion there as the objective."""
    reached = [r for r in records if validation in r.validations and r.state != "failed"]
    return optuna_study(reached, space, lambda r: [r.validations[validation]])


def pair_study(records: Sequence[TrialRecord], x: Measure, y: Measure, space: Space) -> optuna.Study:
    """The full trials that have two numbers, with these as objectives; `best_trials` is their Pareto front."""
    pairs = full_with(records, x, y)
    return optuna_study(pairs, space, lambda r: [r.score(x).value, r.score(y).value], (x.direction, y.direction))


def importance_evaluator(seed: int) -> FanovaImportanceEvaluator:
    """fANOVA: share of the variance that each parameter explains (Hutter, Hoos & Leyton-Brown 2014)."""
    return FanovaImportanceEvaluator(seed=seed)


def importances(records: Sequence[TrialRecord], validation: int, space: Space, seed: int) -> dict[str, float]:
    """Share of the variance of the criterion at one validation that each parameter explains, largest first.

    Empty for fewer than MIN_ANALYSED trials.
    """
    study = study_at(records, validation, space)
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < MIN_ANALYSED:
        return {}
    return optuna.importance.get_param_importances(study, evaluator=importance_evaluator(seed))
