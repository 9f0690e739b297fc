"""The study in Optuna: an SQLite database in the study's folder."""

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
from mmae.study.objective import OBJECTIVES
from mmae.study.space import Parameters
from mmae.tracking.database import sqlite_uri

DATABASE = "optuna.db"
VALIDATIONS = "looks"  # user attribute of a trial; stored in existing studies under this name
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class StudyStore:
    """A study and its database; trials are addressed by number."""

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
        """Set attributes of an unfinished trial."""
        for key, value in values.items():
            self.storage.set_trial_user_attr(self._trial_id(number), key, value)

    def set_validation(self, number: int, validation: int, value: float) -> None:
        """Record an intermediate value; a trial that runs again overwrites it."""
        self.storage.set_trial_intermediate_value(self._trial_id(number), validation, value)

    def finish(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        self.study.tell(number, values, state)

    def queue(self, points: Sequence[Parameters]) -> None:
        """Enqueue the first trials of the study, except those that an earlier process has queued."""
        for parameters in points[len(self.trials) :]:
            self.study.enqueue_trial(parameters)

    def requeue_interrupted(self) -> list[int]:
        """Return trials that were running when the study was killed to the queue.

        They keep their numbers and parameters: Optuna runs waiting trials before it creates new ones, and
        suggests their stored parameters again. Call only while holding the study's lock.

        Returns:
            Their numbers.
        """
        numbers = [t.number for t in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
        for number in numbers:
            self.storage.set_trial_state_values(self._trial_id(number), TrialState.WAITING)
        return numbers


def open_store(config: StudyConfig) -> StudyStore:
    """The study of this name, created if it does not exist."""
    storage = _storage(config.folder)
    directions = [measure.direction for measure in OBJECTIVES[config.objective]]
    study = optuna.create_study(
        storage=storage, study_name=config.full_name, directions=directions, load_if_exists=True
    )
    return StudyStore(study, storage)


def read_store(folder: Path) -> StudyStore:
    """An existing study.

    Raises:
        InputError: the folder has no study.
    """
    if not (folder / DATABASE).exists():
        raise InputError(f"{folder}: not a study ({DATABASE} is missing).")
    storage = _storage(folder)
    return StudyStore(optuna.load_study(study_name=folder.name, storage=storage), storage)


def _storage(folder: Path) -> RDBStorage:
    return RDBStorage(sqlite_uri((folder / DATABASE).resolve()))


def validations_of(trial: FrozenTrial) -> dict[int, float]:
    """The criterion by number of the validation, in order; JSON stores the numbers as strings."""
    return dict(sorted((int(number), value) for number, value in trial.user_attrs.get(VALIDATIONS, {}).items()))
