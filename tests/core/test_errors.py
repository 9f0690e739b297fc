"""Errors that a user can remedy are explained in one line, wherever they were raised."""

from __future__ import annotations

import errno
import os

import pytest

from mmae.core.errors import InputError, input_error_behind, one_line


class Failures(Exception):
    """As raised by Ray Train: the exceptions of the workers by rank, or that of the controller."""

    def __init__(self, worker_failures=None, controller_failure=None):
        super().__init__("training failed\nTraceback (most recent call last): ...")
        self.worker_failures, self.controller_failure = worker_failures, controller_failure


def of_file(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/home/runs")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.ENAMETOOLONG])
def test_errors_of_the_file_system_name_file_and_reason(number):
    line = str(input_error_behind(of_file(number)))
    assert line.startswith(f"/home/runs: {os.strerror(number)}. ") and "\n" not in line


def test_an_error_without_a_file_keeps_its_own_text():
    error = OSError(errno.ENOSPC, "Error writing bytes to file.\nDetail: No space left on device")
    assert str(input_error_behind(error)).startswith("Error writing bytes to file. Detail: No space left on device. ")


def test_errors_of_ray_train_are_searched():
    assert str(input_error_behind(Failures(worker_failures={1: InputError("row 7")}))) == "row 7"
    assert str(input_error_behind(Failures(controller_failure=InputError("row 7")))) == "row 7"
    assert str(input_error_behind(Failures(worker_failures={0: of_file(errno.ENOSPC)}))).startswith("/home/runs: ")


def test_an_input_error_comes_before_the_file_that_caused_it():
    try:
        raise InputError("survey.json: ...") from of_file(errno.EACCES)
    except InputError as error:
        assert input_error_behind(error) is error


@pytest.mark.parametrize("error", [None, ValueError("a bug"), OSError(errno.ECONNRESET, "reset"), OSError("no number")])
def test_other_errors_are_not_explained(error):
    assert input_error_behind(error) is None


def test_a_circle_of_causes_ends():
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert input_error_behind(first) is None


def test_one_line_joins_lines():
    assert one_line("  a  b\n\n\tc\n") == "a  b c"
