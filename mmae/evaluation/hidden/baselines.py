"""Reconstructions of hidden pixels without a trained network, in normalised units (`normalised.py`).

Shown pixels are those that were observed and are visible, by band.

Shape suffixes: N galaxies, M training galaxies, C bands, H and W pixels, P pixels of all bands, S shown pixels,
K neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import binary_dilation

from mmae.inference.filling import masks_of, symmetric

MEAN, SYMMETRIC, NEAREST, INTERPOLATED, PAPER = METHODS = (
    "mean image",
    "symmetry and profile",
    "nearest training images",
    "interpolation",
    "paper",
)
NEIGHBOURS = (1, 2, 4, 8, 16, 32, 64)  # numbers of neighbours from which one is chosen
TUNED_ON = 100  # training images kept out of the neighbours, on which their number is chosen
MIN_TRAINING = 200


@dataclass(frozen=True)
class Baselines:
    """The baselines that need no network. Those of training images are None without enough of them."""

    mean_CHW: np.ndarray | None = None
    neighbours: Neighbours | None = None
    k: int = 0

    @classmethod
    def fitted(cls, train_MCHW: np.ndarray, visible_NHW: np.ndarray) -> Baselines:
        """Fit to training images; those with missing pixels are left out.

        Args:
            visible_NHW: masks with which the number of neighbours is chosen.
        """
        train_MCHW = train_MCHW[np.isfinite(train_MCHW).all((1, 2, 3))]
        if len(train_MCHW) < MIN_TRAINING:
            return cls()
        neighbours, test_NCHW = Neighbours(train_MCHW[:-TUNED_ON]), train_MCHW[-TUNED_ON:]
        visible_NHW = np.resize(visible_NHW[visible_NHW.any((1, 2))], test_NCHW[:, 0].shape)
        shown_NCHW = np.broadcast_to(visible_NHW[:, None], test_NCHW.shape)
        return cls(mean_image(train_MCHW), neighbours, neighbours.best_number(test_NCHW, shown_NCHW))

    def predict(self, value_NCHW: np.ndarray, shown_NCHW: np.ndarray) -> dict[str, np.ndarray]:
        """Method -> reconstructed images (N,C,H,W)."""
        made = {SYMMETRIC: symmetric(value_NCHW, shown_NCHW), INTERPOLATED: interpolated(value_NCHW, shown_NCHW)}
        if self.mean_CHW is not None and self.neighbours is not None:
            made[MEAN] = np.broadcast_to(self.mean_CHW, value_NCHW.shape)
            made[NEAREST] = self.neighbours.predict(value_NCHW, shown_NCHW, self.k)
        return made


def mean_image(train_MCHW: np.ndarray) -> np.ndarray:
    """The mean (C,H,W) of the training images."""
    return train_MCHW.mean(0, dtype=np.float64).astype(np.float32)


def interpolated(value_NCHW: np.ndarray, shown_NCHW: np.ndarray) -> np.ndarray:
    """Linear interpolation between shown pixels (Delaunay triangles), nearest shown pixel outside of all triangles.

    The interpolation that fills bad pixels of real cutouts, without any knowledge of galaxies. A band with fewer than
    three shown pixels is 0.
    """
    result_NCHW = np.where(shown_NCHW, value_NCHW, 0)
    for n in range(len(value_NCHW)):
        for bands, shown_HW in masks_of(shown_NCHW[n]):
            # Pixels farther inside a visible patch do not change the triangles that cover hidden pixels. Two rows,
            # because pixels of one straight line have no triangles.
            edge_HW = shown_HW & binary_dilation(~shown_HW, np.ones((5, 5)))
            place_S2, missing = np.argwhere(edge_HW), np.argwhere(~shown_HW)
            if len(place_S2) < 3 or not len(missing):
                continue
            known_SC = value_NCHW[n, bands][:, edge_HW].T
            found = LinearNDInterpolator(place_S2, known_SC)(missing)
            outside = ~np.isfinite(found[:, 0])
            if outside.any():
                found[outside] = NearestNDInterpolator(place_S2, known_SC)(missing[outside])
            result_NCHW[n, bands, missing[:, :1], missing[:, 1:]] = found
    return result_NCHW


class Neighbours:
    """The mean of the training images that are most similar in the shown pixels (Euclidean distance).

    Args:
        train_MCHW: training images without missing pixels.
    """

    def __init__(self, train_MCHW: np.ndarray):
        self.train_MP = train_MCHW.reshape(len(train_MCHW), -1)
        self.square_MP = np.square(self.train_MP)

    def ranked(self, value_NCHW: np.ndarray, shown_NCHW: np.ndarray, most: int) -> np.ndarray:
        """Row numbers (N,K) of the nearest `most` training images, nearest first."""
        value_NP = np.where(shown_NCHW, value_NCHW, 0).reshape(len(value_NCHW), -1)
        shown_NP = shown_NCHW.reshape(len(value_NCHW), -1).astype(self.square_MP.dtype)
        # |a - b|^2 over shown pixels, without |a|^2, which is the same for all b.
        distance_NM = shown_NP @ self.square_MP.T - 2 * value_NP @ self.train_MP.T
        nearest_NK = np.argpartition(distance_NM, min(most, len(self.train_MP)) - 1, axis=1)[:, :most]
        order_NK = np.take_along_axis(distance_NM, nearest_NK, 1).argsort(1)
        return np.take_along_axis(nearest_NK, order_NK, 1)

    def predict(self, value_NCHW: np.ndarray, shown_NCHW: np.ndarray, k: int) -> np.ndarray:
        """The mean of the k nearest training images (N,C,H,W)."""
        nearest_NK = self.ranked(value_NCHW, shown_NCHW, k)
        mean_NP = np.stack([self.train_MP[nearest_K].mean(0) for nearest_K in nearest_NK])
        return mean_NP.reshape(value_NCHW.shape)

    def best_number(self, value_NCHW: np.ndarray, shown_NCHW: np.ndarray, numbers: Sequence[int] = NEIGHBOURS) -> int:
        """The number of neighbours with the smallest squared error of hidden pixels, of galaxies not in training."""
        numbers = [k for k in numbers if k <= len(self.train_MP)]
        nearest_NK = self.ranked(value_NCHW, shown_NCHW, max(numbers))
        error_K = np.zeros(len(numbers))
        for value_P, shown_P, nearest_K in zip(
            value_NCHW.reshape(len(value_NCHW), -1), shown_NCHW.reshape(len(value_NCHW), -1), nearest_NK, strict=True
        ):
            total_KP = np.cumsum(self.train_MP[nearest_K][:, ~shown_P], axis=0)
            for i, k in enumerate(numbers):
                error_K[i] += np.square(total_KP[k - 1] / k - value_P[~shown_P]).mean()
        return numbers[int(error_K.argmin())]
