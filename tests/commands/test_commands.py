"""The commands: `mmae NAME`, their scripts, and their help of at most two screens."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest
import tyro

from benchmarks.start import commands
from mmae import commands as room
from mmae.core.command_line import COMMANDS, CONSOLE_SCRIPT, as_typed, command
from mmae.ingest.config import BuildConfig
from mmae.recipes import RECIPES, recipe
from mmae.steepspec.config import SearchConfig
from mmae.study.config import RUN_OPTIONS, StudyConfig, parse_study

ROOT = Path(__file__).parents[2]
TWO_SCREENS = 80  # lines of 80 columns
GROUPED = {
    "pretrain": {"default": recipe("small")},
    "sweep": {"default": StudyConfig(run=recipe("small"))},
    "build-survey": {},
    "steep-spectrum": {},
}
KINDS = {"pretrain": type(recipe("small")), "sweep": StudyConfig, "build-survey": BuildConfig}
KINDS["steep-spectrum"] = SearchConfig


def option_names(kind: type, **options) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(kind, config=(tyro.conf.AvoidSubcommands,), **options)
    return {name for action in parser._actions for name in action.option_strings}


def typed(monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [f"/somewhere/bin/{CONSOLE_SCRIPT}", *words])


def test_every_script_is_a_command():
    assert sorted(COMMANDS.values()) == commands()
    for name, script in COMMANDS.items():
        assert Path(script).stem.replace("_", "-") == name


def test_the_overview_has_one_line_for_each_command(monkeypatch, capsys):
    for words in ([], ["--help"], ["-h"]):
        typed(monkeypatch, *words)
        room.console_script()
        lines = capsys.readouterr().out.splitlines()
        for name in COMMANDS:
            (line,) = [line for line in lines if line.split()[:1] == [name]]
            assert len(line.split()) > 3 and len(line) <= 80


def test_the_overview_loads_no_command():
    code = (
        "import sys; from mmae.commands import overview; overview(); print([m for m in sys.modules if 'mmae.c' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "mmae.commands" in done.stdout and "mmae.commands." not in done.stdout and "mmae.config" not in done.stdout


def test_unknown_commands_are_refused(monkeypatch, capsys):
    typed(monkeypatch, "train")
    with pytest.raises(SystemExit) as caught:
        room.console_script()
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert "train" in err and "pretrain" in err and err.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_the_console_script_runs_the_function_of_the_script(name, monkeypatch):
    module, seen = import_module(f"mmae.commands.{name.replace('-', '_')}"), []
    monkeypatch.setattr(module, "job", lambda: seen.append(list(sys.argv)))
    typed(monkeypatch, name, "--some", "option")
    room.console_script()
    monkeypatch.setattr(sys, "argv", [COMMANDS[name], "--some", "option"])
    exec((ROOT / COMMANDS[name]).read_text(), {"__name__": "__main__"})
    assert seen == [[f"mmae {name}", "--some", "option"], [COMMANDS[name], "--some", "option"]]


def test_commands_are_shown_as_they_were_typed(monkeypatch):
    text = "    python ray_jobs/pretrain.py --name a\nray job submit -- python ray_jobs/pretrain.py"
    assert as_typed(text) == text and command("sweep") == "python tune/sweep.py"
    monkeypatch.setattr(sys, "argv", ["mmae export"])
    assert as_typed(text) == "    mmae pretrain --name a\nray job submit -- python ray_jobs/pretrain.py"
    assert command("sweep") == "mmae sweep"


@pytest.mark.parametrize("name", GROUPED)
def test_options_of_the_short_help_exist(name):
    module = import_module(f"mmae.commands.{name.replace('-', '_')}")
    shown = [option for options in module.COMMON.values() for option in options]
    assert len(set(shown)) == len(shown)
    assert {RUN_OPTIONS.get(option, option) if name == "sweep" else option for option in shown} <= option_names(
        KINDS[name], **GROUPED[name]
    )


def helped(name: str, monkeypatch, capsys, *words: str) -> str:
    typed(monkeypatch, name, *words)
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        room.console_script()
    assert not caught.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_two_screens(name, monkeypatch, capsys):
    text = helped(name, monkeypatch, capsys, "--help")
    assert sum(max(1, -(-len(line) // 80)) for line in text.splitlines()) <= TWO_SCREENS
    assert f"mmae {name}" in text and "python ray_jobs/" not in text.replace("-- python ray_jobs/", "")


@pytest.mark.parametrize("name", ["pretrain", "sweep"])
def test_the_whole_help_has_all_options(name, monkeypatch, capsys):
    text = helped(name, monkeypatch, capsys, "--help-all")
    assert all(option in text for option in option_names(KINDS[name], **GROUPED[name]) - {"-h", "--help"})


@pytest.mark.parametrize("name", RECIPES)
def test_every_option_of_a_run_has_a_text(name):
    assert_texts(type(recipe(name)), default=recipe(name))


@pytest.mark.parametrize("name", ["sweep", "build-survey", "steep-spectrum"])
def test_every_option_has_a_text(name):
    assert_texts(KINDS[name], **GROUPED[name])


def assert_texts(kind: type, **options) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(kind, config=(tyro.conf.AvoidSubcommands,), **options)
    without = [a.option_strings for a in parser._actions if (a.help or "(").lstrip().startswith("(")]
    assert not without


def test_a_study_takes_the_options_of_a_run():
    config = parse_study("", ["--survey", "/s", "--home=/h", "--seed", "3", "--trials", "2"])
    assert (config.run.survey, config.run.home, config.run.seed, config.trials) == ("/s", "/h", 3, 2)
    assert parse_study("", ["--run.survey", "/s", "--run.home", "/h", "--run.seed", "3", "--trials", "2"]) == config
