"""The command line: recipe or file, single fields, and messages for invalid input."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass

import pytest
from mlflow.exceptions import MlflowException

from mmae.cli import main, parse
from mmae.core.errors import InputError
from mmae.core.settings import to_yaml
from mmae.model.config import PaperConfig
from mmae.recipes import parse_run, recipe, require_same_recipe


def run(*argv: str):
    return parse_run("Pretrain.", list(argv))


def test_default_is_the_small_recipe():
    assert run() == recipe("small")


def test_recipe_with_single_fields_overridden():
    config = run(
        "--recipe",
        "paper",
        "--optim.steps",
        "5",
        "--masks.image-ratio",
        "0.1",
        "0.2",
        "--model.dropout",
        "0.3",
        "--optim.augment",
        "--name",
        "mine",
    )
    assert config.recipe == "paper" and isinstance(config.model, PaperConfig)
    assert config.optim.steps == 5 and config.masks.image_ratio == (0.1, 0.2)
    assert config.model.dropout == 0.3 and config.name == "mine" and config.optim.augment is True
    assert config.optim.weight_decay == recipe("paper").optim.weight_decay
    assert config.masks.drop_unit == "batch"


def test_nested_fields_of_the_model():
    config = run("--model.redshift.bins", "50", "--model.depth", "7", "--seed", "3")
    assert (config.model.redshift.bins, config.model.depth, config.seed) == (50, 7, 3)


def test_file_with_single_fields_overridden(tmp_path):
    path = tmp_path / "run.yaml"
    config = run("--recipe", "paper", "--optim.steps", "77")
    path.write_text(to_yaml(config))
    assert run("--config", str(path)) == config
    changed = run(f"--config={path}", "--seed", "9")
    assert changed.seed == 9 and changed.optim.steps == 77 and changed.recipe == "paper"


def test_recipe_and_file_exclude_each_other(tmp_path):
    with pytest.raises(InputError, match="--recipe.*--config"):
        run("--recipe", "paper", "--config", str(tmp_path / "run.yaml"))


def test_unknown_recipes_and_missing_files_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="huge"):
        run("--recipe", "huge")
    with pytest.raises(InputError, match=r"absent\.yaml"):
        run("--config", str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize("option", ["--optim.stepz", "--bogus", "--model.dropout"])
def test_unknown_options_give_status_2_and_their_name(option, capsys):
    with pytest.raises(SystemExit) as caught:
        run(option, "3")  # model.dropout is a field of the paper model only
    assert caught.value.code == 2
    assert option in capsys.readouterr().err


def test_values_of_wrong_type_give_status_2_and_the_name_of_the_field(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--optim.steps", "many")
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert "optim.steps" in err and "many" in err


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--masks.image-ratio", "0.5", "1.0"], ("image_ratio", "(0.5, 1.0)")),
        (["--stream.batch-size", "0"], ("stream.batch_size", "0")),
        (["--model.modalities.image.patch", "0"], ("model.modalities.image.patch", "0")),
        (["--stream.batch-size", "9", "--compute.workers", "2"], ("stream.batch_size", "9", "compute.workers", "2")),
    ],
)
def test_invalid_values_give_status_2_with_field_and_value(argv, named, capsys):
    with pytest.raises(SystemExit) as caught:
        main(lambda: run(*argv))
    assert caught.value.code == 2
    # The message may be wrapped and framed.
    err = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert all(part in err for part in named) and "Traceback" not in err


def test_help_lists_recipes_and_fields(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for word in ("Pretrain.", "small", "paper", "--config", "--optim.learning-rate", "--traceback"):
        assert word in out


def test_help_shows_the_common_options_and_help_all_shows_all(capsys):
    common = {"training": ("--optim.steps",)}
    for option, shows_all in (("--help", False), ("-h", False), ("--help-all", True)):
        with pytest.raises(SystemExit) as caught:
            parse_run("Pretrain.", ["--seed", "3", option], common)
        assert not caught.value.code
        out = capsys.readouterr().out
        assert "--optim.steps" in out and ("--optim.clip" in out) == shows_all
    assert parse_run("", ["--optim.clip", "3"], common).optim.clip == 3


def test_command_line_of_any_dataclass():
    @dataclass
    class Job:
        galaxies: int
        """How many."""
        out: str = "here"

    assert parse(Job, "A job.", argv=["--galaxies", "4"]) == Job(4, "here")
    assert parse(Job, "A job.", default=Job(1), argv=["--out", "there"]) == Job(1, "there")


class FromWorker(Exception):
    """Exception as raised by Ray on the driver, with the exception of the worker in `cause`."""

    def __init__(self, cause):
        super().__init__("worker failed\nTraceback (most recent call last): ...")
        self.cause = cause


def raising(error: BaseException):
    def job():
        raise error

    return job


def chained() -> Exception:
    try:
        try:
            raise InputError("the bad row")
        except InputError as error:
            raise RuntimeError("reading failed") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        InputError("the bad row"),
        FromWorker(InputError("the bad row")),
        FromWorker(FromWorker(InputError("the bad row"))),
        chained(),
        FromWorker(chained()),
    ],
)
def test_input_errors_give_one_line_and_status_2(error, capsys):
    with pytest.raises(SystemExit) as caught:
        main(raising(error))
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert err == "error: the bad row\n" and out == ""


def test_errors_of_the_file_system_and_of_mlflow_give_one_line(capsys):
    for error in (
        OSError(errno.EROFS, "Read-only file system", "/home/runs"),
        FromWorker(OSError(errno.ENOSPC, "No space left on device", "/home/runs")),
        MlflowException("the server\ndoes not answer"),
        InputError("a message\nof two lines"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(raising(error))
        assert caught.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1


def test_the_traceback_is_printed_on_request(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["job.py", "--traceback", "--name", "x"])
    seen = []

    def job():
        seen.extend(sys.argv)
        raise chained()

    with pytest.raises(SystemExit) as caught:
        main(job)
    err = capsys.readouterr().err
    assert caught.value.code == 2 and seen == ["job.py", "--name", "x"]
    assert "Traceback" in err and "RuntimeError: reading failed" in err and err.endswith("error: the bad row\n")


class WithTextCause(Exception):
    cause = "the network"


@pytest.mark.parametrize(
    "error",
    [ValueError("a bug"), FromWorker(KeyError("a bug")), FromWorker(None), SystemExit(7), WithTextCause("a bug")],
    ids=lambda e: type(e).__name__,
)
def test_other_exceptions_are_raised(error, capsys):
    with pytest.raises(type(error)) as caught:
        main(raising(error))
    assert caught.value is error and capsys.readouterr().err == ""


def test_ctrl_c_gives_one_line_and_status_130(capsys):
    with pytest.raises(SystemExit) as caught:
        main(raising(KeyboardInterrupt()))
    assert caught.value.code == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("interrupted")


def test_the_name_of_the_recipe_alone_is_not_changed(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(recipe("paper")))
    assert run("--config", str(path)).recipe == "paper"
    with pytest.raises(InputError, match="--recipe paper"):
        require_same_recipe(recipe("small"), run("--config", str(path)), "--run.recipe")


def test_successful_jobs_print_nothing(capsys):
    done = []
    main(lambda: done.append(1))
    assert done == [1] and capsys.readouterr().err == ""
