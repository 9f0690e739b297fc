"""Write the options of all commands, from their parsers, into the page reference/options.md of the site."""

from __future__ import annotations

import argparse
import ast
import re
import sys
import warnings
from pathlib import Path

import tyro
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs.job_parsers import parser_call, scripts  # noqa: E402

PAGE = "reference/options.md"
DEFAULT = re.compile(r"\s*\((?:default: (.*)|required)\)$")
MARK = "The site that `make docs` builds has them all on this page, with units and defaults."
NOTES = {
    "pretrain": "The defaults are those of the recipe `small`; `--recipe NAME` starts from another one.",
    "sweep": "`--run.OPTION` sets an option of `pretrain.py` for all trials; these are not repeated here.",
}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if page.file.src_uri != PAGE:
        return markdown
    return markdown.replace(MARK, "\n".join(map(_section, scripts())))


def _section(script: Path) -> str:
    kind, options = parser_call(script, [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # get_parser: the only public way to list options
        parser = tyro.extras.get_parser(
            kind, **{name: options[name] for name in ("default", "config") if name in options}
        )
    parts = [f"## {script.name}\n", f"{_purpose(script, options)}\n", NOTES.get(script.stem, "")]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions and not (group.title or "").startswith("run"):
            title = (group.title or "").removesuffix(" options")
            heading = f"### {script.stem}: {title}\n" if title != "options" else ""
            parts += [
                heading,
                group.description or "",
                "",
                "| option | values | default | meaning |",
                "|---|---|---|---|",
            ]
            parts += [_row(action) for action in actions] + [""]
    return "\n".join(parts)


def _purpose(script: Path, options: dict) -> str:
    docstring = options.get("description") or ast.get_docstring(ast.parse(script.read_text())) or ""
    return docstring.splitlines()[0]


def _row(action: argparse.Action) -> str:
    text = (action.help or "").replace("\n", " ").replace("%%", "%")
    found = DEFAULT.search(text)
    default = "required" if action.required else _code(found[1].replace("''", "")) if found else ""
    values = re.sub(r"\[(\w+) \[\1 \.\.\.\]\]", r"\1 ...", str(action.metavar or "")).replace("{None}|", "")
    option = f'<code class="option">{action.option_strings[0]}</code>'
    return f"| {option} | {_code(values)} | {default} | {DEFAULT.sub('', text)} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
