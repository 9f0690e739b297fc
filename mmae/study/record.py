"""Record the outcome of each trial in MLflow and Optuna: finished, stopped early or failed.

A trial is finished in Optuna only after everything is in MLflow. If the study is killed in between, the trial
is unfinished in Optuna and runs again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from optuna.trial import TrialState
from ray import PlacementGroupID, cloudpickle, tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial
from ray.util.placement_group import PlacementGroup, remove_placement_group

from mmae.metrics.redshift import ALL_Z, score_table
from mmae.plots.redshift import redshift_figure
from mmae.report.contents import slug
from mmae.report.score_table import ROW_NAMES
from mmae.study.objective import HIDDEN, OBJECTIVES, SCATTER
from mmae.study.storage import VALIDATIONS, StudyStore
from mmae.study.trial import NUMBER, PLACEMENT, PREDICTIONS, VALIDATION, StudyJob, open_trial

COSTS = (
    "progress",
    "galaxies_seen",
    "seconds",
    "galaxies_per_s",
    "flops",
    "parameters",
    "flops_per_galaxy",
    "full_flops",
    "throughput",
    HIDDEN.key,
)
"""Numbers of a trial's last report that are stored with it: its progress, its cost and its reconstruction."""
LOW_MEMORY = "running low on memory"  # in Ray's message about a node where it kills workers
MAX_REASON = 400  # characters, for a table; MLflow accepts 5000 in a tag


class Recorder(tune.Callback):
    """Ray Tune's callback in the driver process."""

    def __init__(self, job: StudyJob, store: StudyStore):
        self.job, self.store = job, store
        self.validations: dict[int, dict[int, float]] = {}

    def on_trial_result(self, iteration: int, trials: list, trial: Trial, result: dict[str, Any], **info) -> None:
        number, value = trial.config[NUMBER], result[self.job.config.criterion.key]
        validations = self.validations.setdefault(number, {})
        validations[result[VALIDATION]] = value
        self.store.note(number, {VALIDATIONS: validations, "costs": _costs(result)})
        if len(OBJECTIVES[self.job.config.objective]) == 1:  # Optuna takes no intermediate values with two objectives
            self.store.set_validation(number, result[VALIDATION], value)

    def on_trial_complete(self, iteration: int, trials: list, trial: Trial, **info) -> None:
        number, result = trial.config[NUMBER], trial.last_result
        if not result.get("finished"):
            self._record_end(number, TrialState.PRUNED, result)
            return
        self._record_end(number, TrialState.COMPLETE, result)

    def on_trial_error(self, iteration: int, trials: list, trial: Trial, **info) -> None:
        self._record_end(trial.config[NUMBER], TrialState.FAIL, trial.last_result, reason_of(_error_of(trial)))

    def _record_end(self, number: int, state: TrialState, result: dict[str, Any], reason: str = "") -> None:
        if PLACEMENT in result:
            # Ray Train uses Ray's dashboard to free the CPUs of a stopped trial. The dashboard may be absent,
            # or ambiguous if several clusters share a host.
            remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(result[PLACEMENT])))
        tracker = open_trial(self.job, number)
        tracker.tags({"mmae.trial": str(number), "mmae.state": state.name.lower()})
        notes: dict[str, Any] = {"run_id": tracker.run_id}
        if reason:
            tracker.tags({"mmae.reason": reason})
            notes["reason"] = reason
        redshifts = read_validation(self.job.trial_folder(number))
        if redshifts is not None and VALIDATION in result:
            run = self.job.config.run
            mode = self.job.mode
            table = score_table(redshifts[0], {mode: redshifts[1]}, seed=run.seed, resamples=run.score.bootstrap)
            scores = table[mode]
            figure = redshift_figure(*redshifts, f"trial {number}, validation, {ROW_NAMES.get(mode, mode)}", scores)
            tracker.figure(figure, f"figures/redshift_{slug(mode)}.png")
            sigma = scores[ALL_Z]["sigma_nmad"]
            measured = {
                SCATTER.key: sigma.value,
                f"{SCATTER.key}_low": sigma.low,
                f"{SCATTER.key}_high": sigma.high,
                "bias": scores[ALL_Z]["bias"].value,
                "outlier_rate": scores[ALL_Z]["outlier_rate"].value,
            }
            tracker.metrics({**measured, **_costs(result)})
            notes["scatter"] = [sigma.value, sigma.low, sigma.high]
        tracker.finish("FAILED" if state == TrialState.FAIL else "FINISHED")
        self.store.note(number, notes)
        values = None
        if state == TrialState.COMPLETE:
            values = [result[measure.key] for measure in OBJECTIVES[self.job.config.objective]]
        self.store.finish(number, state, values)


def _costs(result: dict[str, Any]) -> dict[str, float]:
    return {name: float(result[name]) for name in COSTS if name in result}


def read_validation(trial_folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Spectroscopic redshifts and those of the study's input mode (N,) at a trial's last validation; None if there was
    none.

    All trials of a study have the same validation galaxies in the same order.
    """
    file = trial_folder / PREDICTIONS
    if not file.exists():
        return None
    predicted = next(name for name in pq.read_schema(file).names if name.startswith("z_"))
    table = pq.read_table(file, columns=["redshift", predicted]).to_pandas().dropna(subset=predicted)
    return table["redshift"].to_numpy(float), table[predicted].to_numpy(float)


def _error_of(trial: Trial) -> BaseException | str:
    """The error that Ray Tune has just written. Not trial.get_error(): it reads files that are copied
    to their place later."""
    if trial.pickled_error_file:
        return cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    return Path(trial.error_file).read_text()


def reason_of(error: BaseException | str) -> str:
    """The reason why a trial failed, in one line."""
    if isinstance(error, RayTaskError):
        error = error.as_instanceof_cause()
        error = getattr(error, "cause", error)
    if isinstance(error, RayActorError):
        return f"worker died: {' '.join(str(error).split())}"[:MAX_REASON]
    text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
    if LOW_MEMORY in text:
        text = f"out of memory: Ray killed the worker because the node was {text[text.index(LOW_MEMORY) :]}"
    return " ".join(text.split())[:MAX_REASON]
