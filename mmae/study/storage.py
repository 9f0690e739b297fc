"""The study in Optuna: a database in its folder, which outlives every process that works on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from mmae.core.errors import InputError
from mmae.study.config import StudyConfig
from mmae.study.space import Parameters

DATABASE = "optuna.db"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
DIRECTIONS = {
    "scatter": ("minimize",),
    "scatter-cost": ("minimize", "minimize"),
    "scatter-throughput": ("minimize", "maximize"),
}

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class StudyStore:
    """A study and the database that it lies in; trials go by their numbers."""

    study: optuna.Study
    storage: RDBStorage

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    @property
    def n_finished(self) -> int:
        return len(self.study.get_trials(deepcopy=False, states=FINISHED))

    def _trial_id(self, number: int) -> int:
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def note(self, number: int, values: dict[str, Any]) -> None:
        """Attributes of a trial that is not finished."""
        for key, value in values.items():
            self.storage.set_trial_user_attr(self._trial_id(number), key, value)

    def set_look(self, number: int, look: int, value: float) -> None:
        """An intermediate value; a trial that runs a second time replaces its own."""
        self.storage.set_trial_intermediate_value(self._trial_id(number), look, value)

    def finish(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        self.study.tell(number, values, state)

    def queue(self, points: Sequence[Parameters]) -> None:
        """What is tried first. One by one: what a killed process has queued stays as it is."""
        for parameters in points[len(self.trials) :]:
            self.study.enqueue_trial(parameters)

    def requeue_interrupted(self) -> list[int]:
        """Put trials that were running when their study was killed back into its queue.

        They keep their numbers and parameters: Optuna hands out what waits before it makes a
        new trial, and suggests again what it has suggested. Call only while holding the lock.

        Returns:
            Their numbers.
        """
        numbers = [t.number for t in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
        for number in numbers:
            self.storage.set_trial_state_values(self._trial_id(number), TrialState.WAITING)
        return numbers


def open_store(config: StudyConfig) -> StudyStore:
    """The study of this name, or a new one."""
    storage = _storage(config.folder)
    study = optuna.create_study(
        storage=storage, study_name=config.full_name, directions=DIRECTIONS[config.objective], load_if_exists=True
    )
    return StudyStore(study, storage)


def read_store(folder: Path) -> StudyStore:
    """A study that is there.

    Raises:
        InputError: there is none.
    """
    if not (folder / DATABASE).exists():
        raise InputError(f"{folder}: no study here ({DATABASE} is missing).")
    storage = _storage(folder)
    return StudyStore(optuna.load_study(study_name=folder.name, storage=storage), storage)


def _storage(folder: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{(folder / DATABASE).resolve()}")


def looks_of(trial: FrozenTrial) -> dict[int, float]:
    """Validated scatter by look, in order. JSON has made texts of the numbers."""
    return dict(sorted((int(look), value) for look, value in trial.user_attrs.get("looks", {}).items()))
