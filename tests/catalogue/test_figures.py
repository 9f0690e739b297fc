"""Sky maps of small fields and of the whole sky."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.astro.healpix import nested_cell
from mmae.catalogue.figures import sky_figure
from mmae.catalogue.partitions import count_pixels
from mmae.report.style import save_figure


@pytest.mark.parametrize(
    ("ra", "dec", "projection"),
    [((-1, 1), (-1, 1), "rectilinear"), ((149, 151), (1, 3), "rectilinear"), ((0, 360), (-60, 60), "mollweide")],
)
def test_sky_map(tmp_path, ra, dec, projection):
    rng = np.random.default_rng(0)
    counts = count_pixels(nested_cell(rng.uniform(*ra, 3000) % 360, rng.uniform(*dec, 3000)))
    figure = sky_figure(counts)
    ax = figure.axes[0]
    assert ax.name == projection
    if projection == "rectilinear":
        left, right = ax.get_xlim()
        assert left > right and left - right < 20  # RA increases to the left, also across RA 0
    save_figure(figure, tmp_path / "sky.png")
