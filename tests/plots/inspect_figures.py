"""Helpers to inspect figures, and random data to draw."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from mmae.survey.schema import SurveySpec

SPEC = SurveySpec(image_size=16, n_wavelengths=800, wavelength_step=7.8)
WAVELENGTH = SPEC.wavelength_L()


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


def line(ax, label: str):
    (found,) = [li for li in ax.get_lines() if li.get_label() == label]
    return found


def coloured(ax, colour: str) -> list:
    return [li for li in ax.get_lines() if to_rgba(li.get_color()) == to_rgba(colour)]


def make_images(rng, n):
    noise = np.asarray(SPEC.band_noise)[:, None, None]
    y, x = np.mgrid[:16, :16] - 7.5
    galaxy = np.exp(-np.hypot(x, y) / 2.0)
    return galaxy * np.array([0.5, 1, 2, 2.5, 3])[:, None, None] + noise * rng.standard_normal((n, *SPEC.image_shape))
