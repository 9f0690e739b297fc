"""The trials of a study as plain records, read from Optuna's database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from mmae.metrics.bootstrap import Score
from mmae.study.config import Space
from mmae.study.space import Parameters, distributions
from mmae.study.storage import looks_of

MIN_ANALYSED = 6  # trials below which an importance or a contour would be an invention
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
        parameters: what the space varies.
        looks: validated sigma_NMAD (image only) by look.
        scatter: of the last look, with the bootstrap error of the validation galaxies.
        progress: fraction of the budget that was spent.
        costs: progress, seconds, galaxies_seen, galaxies_per_s, flops, flops_per_galaxy, full_flops,
            parameters (number of weights), throughput (inference, galaxies/s).
        reason: why a trial failed.
        run_id: of its MLflow run.
    """

    number: int
    state: str
    parameters: Parameters
    looks: dict[int, float]
    scatter: Score
    progress: float
    costs: dict[str, float]
    reason: str
    run_id: str

    def cost(self, name: str) -> float:
        return self.costs.get(name, math.nan)


def read_records(trials: Iterable[FrozenTrial]) -> list[TrialRecord]:
    """All trials that were begun, by number."""
    return [_record(trial) for trial in trials if trial.state != TrialState.WAITING]


def _record(trial: FrozenTrial) -> TrialRecord:
    notes, looks = trial.user_attrs, looks_of(trial)
    costs = notes.get("costs", {})
    return TrialRecord(
        trial.number,
        STATES[trial.state],
        dict(trial.params),
        looks,
        Score(*notes.get("scatter", (math.nan, math.nan, math.nan)), n=0),
        costs.get("progress", 0.0),
        costs,
        notes.get("reason", ""),
        notes.get("run_id", ""),
    )


def complete(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials of the full budget, the best first."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: r.scatter.value)


def common_look(records: Sequence[TrialRecord]) -> int:
    """The last look that every trial had which did not fail: there all are compared at equal budget.

    0 if there is none.
    """
    last = [max(r.looks, default=0) for r in records if r.state in ("complete", "stopped")]
    return min(last, default=0)


def importances(records: Sequence[TrialRecord], look: int, space: Space, seed: int) -> dict[str, float]:
    """Share of the scatter's variance at one look that each parameter explains (fANOVA: Hutter,
    Hoos & Leyton-Brown 2014), the largest first; empty for fewer than MIN_ANALYSED trials."""
    seen = [r for r in records if look in r.looks and r.state != "failed"]
    if len(seen) < MIN_ANALYSED:
        return {}
    study = optuna.create_study(direction="minimize")
    spread = distributions(space)
    for record in seen:
        study.add_trial(
            optuna.trial.create_trial(params=record.parameters, distributions=spread, value=record.looks[look])
        )
    return optuna.importance.get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points than which no other is at least as small in both and smaller in one."""

    def beaten(p: tuple[float, float]) -> bool:
        return any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)

    return sorted((i for i, p in enumerate(points) if not beaten(p)), key=lambda i: points[i])
