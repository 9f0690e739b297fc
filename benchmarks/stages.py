"""CPU time of the stages of a job: functions are replaced by ones that count their own time, without that of others."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import wraps
from types import ModuleType
from typing import Any
from unittest.mock import patch

Function = tuple[ModuleType, str]  # the module that calls it, and its name there


class Stages:
    """Context manager in which the CPU seconds of each stage are added up.

    Args:
        functions: of each stage.
    """

    def __init__(self, functions: dict[str, Sequence[Function]]):
        self.seconds: dict[str, float] = defaultdict(float)
        self._functions = functions
        self._open = ["rest"]  # stages that called each other
        self._since = 0.0
        self._patches = ExitStack()

    def __enter__(self) -> Stages:
        for stage, functions in self._functions.items():
            for module, name in functions:
                self._patches.enter_context(patch.object(module, name, self._counted(stage, getattr(module, name))))
        self._since = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._count()
        self._patches.close()

    def _count(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def _counted(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._count()
            self._open.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._count()
                self._open.pop()

        return counted
