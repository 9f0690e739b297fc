"""Pages of the site from files outside docs/, so that links are the same on the site and in the repository.

README.md, CHANGELOG.md and CONTRIBUTING.md become pages, and notebooks, with the outputs that they have. A link to any
other file or folder of the repository leads to a page with its text or its list of files; only linked ones have a page.
"""

from __future__ import annotations

import ast
import base64
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
SHOWN = (".md", ".ipynb", ".png", ".svg", ".html")  # files of docs/ that are parts of the site themselves
LINK = re.compile(r'(?<=\]\()(?![a-z]+:|#)[^)#\s]+|(?<=src=")(?![a-z]+:)[^"]+')
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".json": "json"}
ALONE = "---\nhide:\n  - navigation\n---\n\n"  # no list of the pages of a section that has one
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=ALONE + (ROOT / name).read_text()))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(notebook)
        files.append(_notebook_page(notebook, config))
    for file in files.documentation_pages():
        for link in LINK.findall(file.content_string):
            target = _target(link, file.src_uri)
            page = _page_of(target)
            if page not in files.src_uris and page.startswith("source/"):
                made = File.generated(config, page, content=_source_page(ROOT / target))
                made.inclusion = InclusionLevel.NOT_IN_NAV
                files.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    uri = page.file.src_uri
    if uri.startswith("source/"):
        return markdown
    folder = posixpath.dirname(uri)
    return LINK.sub(lambda link: posixpath.relpath(_page_of(_target(link[0], uri)), folder or "."), markdown)


def _notebook_page(notebook: File, config: MkDocsConfig) -> File:
    """A notebook with its outputs, not executed; pictures are part of the page."""
    body, resources = MarkdownExporter().from_filename(str(notebook.abs_src_path))
    for name, data in resources["outputs"].items():
        body = body.replace(f"]({name})", f"](data:image/png;base64,{base64.b64encode(data).decode()})")
    return File.generated(config, notebook.src_uri.replace(".ipynb", ".md"), content=body)


def _target(link: str, page: str) -> str:
    """The path, from the root of the repository, to which a link of a page leads."""
    origin = next((name for name, made in PAGES.items() if made == page), f"docs/{page}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    if target.startswith("..") or not (ROOT / target).exists():
        raise PluginError(f"{origin}: the link {link} leads to no file of the repository.")
    return target


def _page_of(target: str) -> str:
    """The page or picture of the site, from its root, for a path of the repository."""
    if target in PAGES:
        return PAGES[target]
    if target.startswith("docs/") and target.endswith(SHOWN):
        return target.removeprefix("docs/").replace(".ipynb", ".md")
    return f"source/{target}.md"


def _source_page(path: Path) -> str:
    name = path.relative_to(ROOT)
    if path.is_dir():
        lines = [
            f"- `{file.name}{'/' * file.is_dir()}` {_purpose(file)}"
            for file in sorted(path.iterdir())
            if _is_source(file)
        ]
        return f"{NOT_SEARCHED}# {name}/\n\n" + "\n".join(lines)
    return f"{NOT_SEARCHED}# {name}\n\n~~~~~~~~ {LANGUAGES.get(path.suffix, 'text')}\n{path.read_text()}\n~~~~~~~~\n"


def _is_source(path: Path) -> bool:
    return not path.name.startswith((".", "__")) and path.suffix != ".pyc"


def _purpose(path: Path) -> str:
    """The first line of the docstring of a module or package."""
    file = path / "__init__.py" if path.is_dir() else path
    docstring = ast.get_docstring(ast.parse(file.read_text())) if file.suffix == ".py" and file.exists() else None
    return docstring.splitlines()[0] if docstring else ""
