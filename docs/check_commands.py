"""Check the commands of the documentation: scripts, options, make targets and files that they name exist.

    python docs/check_commands.py                 # README.md, CONTRIBUTING.md, CHANGELOG.md, docs/**/*.md
    python docs/check_commands.py docs/study.md

Commands are the lines of code blocks, and code in the text with options. Scripts of ray_jobs/ and tune/ parse their
arguments and end there; of other scripts, and of ray, the options must be in their source. Nothing is run.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import tyro

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.job_parsers import parser_call, scripts  # noqa: E402

FENCE = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^|\n\n)((?: {4}[^\n]*\n)+)")
CODE = re.compile(r"`([^`]+)`")
START = re.compile(r"(python3? (-m \w|\w+/)|mmae [a-z]|make |ray [a-z]|kubectl |docker |mlflow )")
END = {"&&", "||", "|", ";", "&"}
FILE = re.compile(r"(benchmarks|cluster|deploy|docs|ray_jobs|tests|tune)(/[\w./-]+)?\.(py|md|yaml|png|json)")
RAY_SOURCES = ("scripts/scripts.py", "dashboard/modules/job/cli.py")
INSTALLED = {"http.server", "pip", "pytest", "venv"}  # modules that are not of this project


def pages() -> list[Path]:
    return [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *(ROOT / "docs").rglob("*.md")]


def commands(page: str) -> list[list[str]]:
    """The words of every command of a page, of `a && b` and of `ray job submit -- a` each part."""
    blocks = FENCE.findall(page)
    text = FENCE.sub("\n", page)
    blocks += INDENTED.findall(text)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    names = (" ".join(code.split()) for code in CODE.findall(text))
    lines += [code for code in names if code.startswith("make ") or " -" in code]
    return [words for line in lines if START.match(line.strip()) for words in _parts(line)]


def _parts(line: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in shlex.split(line, comments=True):
        if word in END or (word == "--" and words[:1] == ["ray"]):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def fault(words: list[str]) -> str | None:
    """What is wrong with a command, or None."""
    if ">" in words:
        words = words[: words.index(">")]
    missing = [word for word in words if FILE.fullmatch(word) and not (ROOT / word).exists()]
    if missing:
        return f"no such file: {', '.join(missing)}"
    match words:
        case ["python" | "python3", "-m", module, *arguments]:
            return None if module in INSTALLED else _module_fault(module, arguments)
        case ["python" | "python3", script, *arguments]:
            path = ROOT / script
            if path.parent.name in ("ray_jobs", "tune"):
                return _job_fault(path, arguments)
            return _option_fault(arguments, _strings(path))
        case ["mmae", command, *arguments]:
            name = f"{command.replace('-', '_')}.py"
            path = next((path for path in scripts() if path.name == name), None)
            return _job_fault(path, arguments) if path else f"no command {command}"
        case ["make", *targets]:
            known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            unknown = [target for target in targets if target not in known]
            return f"no target {', '.join(unknown)} in the Makefile" if unknown else None
        case ["ray", *arguments]:
            return _option_fault(arguments, _ray_strings())
    return None


def _job_fault(script: Path, arguments: list[str]) -> str | None:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            kind, options = parser_call(script, _without_file(arguments))
            tyro.cli(kind, **options)
    except SystemExit as ended:
        return " ".join(printed.getvalue().replace("│", " ").split()) if ended.code else None
    except ValueError as error:
        return str(error)
    return None


def _without_file(arguments: list[str]) -> list[str]:
    """The arguments without --traceback and --config FILE, which all scripts but one have; FILE need not exist."""
    arguments = [word for word in arguments if word != "--traceback"]
    if "--config" in arguments:
        at = arguments.index("--config")
        arguments = arguments[:at] + arguments[at + 2 :]
    return arguments


def _module_fault(module: str, arguments: list[str]) -> str | None:
    path = ROOT / module.replace(".", "/")
    files = [file for file in (path.with_suffix(".py"), path / "__main__.py") if file.exists()]
    return _option_fault(arguments, _strings(files[0])) if files else f"no module {module}"


def _option_fault(arguments: list[str], known: frozenset[str]) -> str | None:
    options = [word.split("=")[0] for word in arguments if re.match(r"--?[a-z]", word)]
    unknown = [option for option in options if option not in known]
    return f"unknown options {', '.join(unknown)}" if unknown else None


@cache
def _strings(file: Path) -> frozenset[str]:
    """All strings in the code of a file."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@cache
def _ray_strings() -> frozenset[str]:
    spec = importlib.util.find_spec("ray")
    assert spec is not None and spec.origin is not None
    return frozenset().union(*(_strings(Path(spec.origin).parent / source) for source in RAY_SOURCES))


def main(names: list[str]) -> int:
    count = faults = 0
    for page in [Path(name) for name in names] or pages():
        for words in commands(page.read_text()):
            count += 1
            if found := fault(words):
                faults += 1
                print(f"{page}: {shlex.join(words)}\n    {found}")
    print(f"{count} commands, {faults} with a fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
