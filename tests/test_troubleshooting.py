"""docs/troubleshooting.md lists messages that the code has."""

import ast
import os
import re
from pathlib import Path

import pytest

from mmae.core.errors import ADVICE

ROOT = Path(__file__).parents[1]
VARIES = "…"
CELL = re.compile(r"`(.+?)`")


def quoted_messages(page: str) -> list[str]:
    """The messages in the first column of the page's tables."""
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    return [text for row in rows for text in CELL.findall(row.split(" | ")[0])]


def templates() -> list[str]:
    """All strings of the code, with … for the values of f-strings; those of the file system's errors too."""
    found = [f"{VARIES}: {os.strerror(number)}. {advice}" for number, advice in ADVICE.items()]
    for path in (ROOT / "mmae").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (str(p.value) if isinstance(p, ast.Constant) else VARIES for p in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def is_in(message: str, template: str) -> bool:
    """Whether the template contains the fixed parts of the message, in their order."""
    return re.search(".*".join(map(re.escape, message.split(VARIES))), template, re.DOTALL) is not None


ALL = templates()
MESSAGES = quoted_messages((ROOT / "docs/troubleshooting.md").read_text())


def test_the_page_has_messages():
    assert len(MESSAGES) > 50


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_in_the_code(message):
    assert any(is_in(message, template) for template in ALL)


def test_a_message_that_the_code_does_not_have_is_found():
    assert not any(is_in("no Ray cluster … telephone", template) for template in ALL)
