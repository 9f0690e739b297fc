"""Errors of tasks in Ray are returned as data; tasks in local processes keep their order."""

from __future__ import annotations

import errno

import pytest

from mmae.core.errors import InputError
from mmae.core.tasks import ERROR, _results, _returning_errors, in_processes


def work(job):
    if "raises" in job:
        raise job["raises"]
    return {"value": job["value"]}


def test_messages_travel_as_data_and_are_raised_where_they_are_read():
    run = _returning_errors(work)
    rows = [run({"value": 1}), run({"raises": InputError("file.fits: row 3")}), run({"value": 2})]
    assert rows[1] == {ERROR: "file.fits: row 3"}
    results = _results(rows)
    assert next(results) == {"value": 1}
    with pytest.raises(InputError, match=r"^file\.fits: row 3$"):
        next(results)


def test_a_full_disk_is_explained_and_a_bug_is_raised():
    run = _returning_errors(work)
    assert run({"raises": OSError(errno.ENOSPC, "full", "/data/x")})[ERROR].startswith("/data/x: ")
    with pytest.raises(KeyError):
        run({"raises": KeyError("bug")})


def test_rows_of_a_mixed_block_have_no_error_column():
    assert list(_results([{"value": 1, ERROR: None}])) == [{"value": 1}]


def test_results_of_local_processes_have_the_order_of_the_jobs():
    jobs = [{"value": n} for n in range(5)]
    assert list(in_processes(jobs, dict, workers=2)) == jobs
