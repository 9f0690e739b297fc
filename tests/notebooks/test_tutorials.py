"""The tutorials in docs/notebooks run from the first cell to the last, and are committed with their outputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("ipykernel")
nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/notebooks"
MOST_BYTES = 1_000_000
SMALL = {  # notebook -> values of its cell of parameters
    "train": {"GALAXIES": 240, "STEPS": 4}
}


def read(name: str):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def set_parameters(notebook, values: dict[str, object]) -> None:
    """Replace the values of the cell with the tag "parameters", which has lines `%env NAME=VALUE`."""
    (cell,) = (cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", ()))
    names = [line.removeprefix("%env ").partition("=")[0] for line in cell.source.splitlines()]
    assert sorted(names) == sorted(values)
    cell.source = "\n".join(f"%env {name}={value}" for name, value in values.items())


def execute(notebook, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_tutorial_runs(name, tmp_path, monkeypatch):
    notebook = read(name)
    set_parameters(notebook, SMALL[name] | {"MMAE_HOME": tmp_path})
    execute(notebook, monkeypatch)


def test_a_command_that_fails_ends_the_notebook(monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%bash\nfalse")])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="status 1"):
        execute(notebook, monkeypatch)


@pytest.mark.parametrize("name", SMALL)
def test_commands_are_those_that_end_the_notebook_if_they_fail(name):
    lines = [line for cell in code_cells(read(name)) for line in cell.source.splitlines()]
    assert not any(line.startswith(("!", "%sx", "%system")) for line in lines)


@pytest.mark.parametrize("name", SMALL)
def test_the_committed_tutorial_has_its_outputs(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < MOST_BYTES
    notebook = read(name)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))  # all were run, in this order
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
