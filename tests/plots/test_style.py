"""The figure style does not change matplotlib, and does not depend on its settings."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib

from mmae.plots.training import loss_figure
from mmae.report.style import save_figure, style


def test_style_restores_rcparams(tmp_path):
    before = dict(matplotlib.rcParams)
    save_figure(loss_figure({"loss": ([0, 1], [2, 1])}), tmp_path / "made" / "loss.png")
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "made" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_figures_do_not_import_pyplot():
    # In a new process, because other tests and astropy import pyplot.
    code = (
        "import sys; import mmae.plots.contact_sheet, mmae.plots.training; sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_style_overrides_user_settings():
    with matplotlib.rc_context({"font.size": 30.0, "axes.grid": True}):
        with style():
            assert matplotlib.rcParams["axes.grid"] is False
            assert matplotlib.rcParams["font.size"] == 9


def test_figures_drawn_in_several_threads_are_identical(tmp_path):
    def draw(i: int) -> bytes:
        figure = loss_figure({"loss": ([0, 1], [2, 1])})
        return save_figure(figure, tmp_path / f"{i}.png").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(4)))) == 1
