"""From what was gathered to the sections of the page, in the order a referee would ask."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.example_figure import example_figure
from mmae.evaluation.images.section import images_section
from mmae.evaluation.lines.section import spectra_section
from mmae.evaluation.photoz.section import point_section
from mmae.evaluation.photoz.strata import MAGNITUDE, REDSHIFT, families
from mmae.evaluation.pz.section import pz_section
from mmae.evaluation.reconstructions import ABSENT, Measured
from mmae.evaluation.representation.section import (
    REPRESENTATION_TITLE,
    SHIFT_TITLE,
    representation_section,
    shift_section,
)
from mmae.evaluation.representation.targets import Features, Targets, targets_of
from mmae.evaluation.surface.section import surface_section
from mmae.inference.readings import Readings, Spectroscopy
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.report.contents import Drawing, Section
from mmae.survey.schema import SurveySpec

BREAK = "Dn4000"  # Balogh et al. (1999): small in galaxies that form stars
FEWER_RESAMPLES = 300  # where many scores are made
WAITED_FOR = ("examples", "surface", "spectra", "images")


@dataclass(frozen=True)
class Seen:
    """Galaxies of one split and what the model says of them, by mode, nothing masked."""

    catalogue: Catalogue
    readings: dict[str, Readings]
    spectroscopy: Spectroscopy

    def targets(self) -> Targets:
        return targets_of(self.catalogue, self.spectroscopy.dn4000_N, BREAK)


@dataclass(frozen=True)
class Gathered:
    """All that was read from the survey and from the model, or is still on its way.

    Attributes:
        test: the evaluated galaxies.
        train: training galaxies of the survey; None: it has none.
        surface_redshift_N: spectroscopic redshifts of the galaxies of the surface.
        z_pred_ISN: redshifts of those under every pair of masked fractions.
        measured: reconstructions of the evaluated galaxies.
    """

    spec: SurveySpec
    test: Seen
    train: Seen | None
    surface_redshift_N: np.ndarray
    z_pred_ISN: Future[np.ndarray]
    measured: Future[Measured]

    def pdfs(self) -> dict[str, tuple[RedshiftPDF, np.ndarray]]:
        """Mode -> p(z) and who has what the mode needs; empty for a model without p(z)."""
        return {
            mode: (RedshiftPDF(r.edges_K1, r.probability_NK), r.usable_N)
            for mode, r in self.test.readings.items()
            if r.probability_NK is not None
        }

    def features(self) -> dict[str, Features]:
        """Mode -> embeddings of training and evaluated galaxies."""
        return {
            mode: Features(self.train.readings[mode].embedding_ND, readings.embedding_ND)
            for mode, readings in self.test.readings.items()
        }


def make_sections(gathered: Gathered, config: EvaluateConfig, console: Console) -> list[Section]:
    """Every section in the order of the page, with a progress bar; what must be waited for is made last."""
    makers = _makers(gathered, config)
    in_turn = sorted(makers, key=lambda name: name in WAITED_FOR)
    made = {name: makers[name]() for name in track(in_turn, "scores", console=console, transient=True)}
    return [made[name] for name in makers]


def _makers(g: Gathered, config: EvaluateConfig) -> dict[str, Callable[[], Section]]:
    seed, resamples = config.seed, config.bootstrap
    few = min(resamples, FEWER_RESAMPLES)
    catalogue, snr_N = g.test.catalogue, g.test.spectroscopy.snr_N
    strata = {
        family.name: {s.label: s.member_N for s in family.strata}
        for family in families(catalogue, snr_N)
        if family.name in (REDSHIFT, MAGNITUDE)
    }

    def redshift() -> Section:
        z_train = g.train.catalogue.redshift_N if g.train else None
        return point_section(
            catalogue,
            {mode: r.prediction_N for mode, r in g.test.readings.items()},
            snr_N,
            z_train=z_train,
            seed=seed,
            resamples=resamples,
        )

    def learned(name: str, title: str, make: Callable[..., Section]) -> Section:
        if g.train is None:
            return Section(name, title, "", left_out="The survey has no training galaxies for probes to learn from.")
        return make(g.features(), g.train.targets(), g.test.targets(), seed=seed, resamples=few)

    return {
        "examples": lambda: example_section(g.measured.result(), g.spec),
        "redshift": redshift,
        "surface": lambda: surface_section(
            g.z_pred_ISN.result(),
            config.surface_ratios,
            config.surface_ratios,
            g.surface_redshift_N,
            seed=seed,
            resamples=few,
        ),
        "pz": lambda: pz_section(
            g.pdfs(), catalogue.redshift_N, strata, seed=seed, resamples=few, object_id_N=catalogue.object_id_N
        ),
        "spectra": lambda: spectra_section(g.measured.result().spectra, seed=seed),
        "images": lambda: images_section(g.measured.result().images, catalogue, g.spec, seed=seed, resamples=few),
        "representation": lambda: learned("representation", REPRESENTATION_TITLE, representation_section),
        "shift": lambda: learned("shift", SHIFT_TITLE, shift_section),
    }


def example_section(measured: Measured, spec: SurveySpec) -> Section:
    """Two galaxies in full, in the form of the paper's figures."""
    drawings = []
    for number, (situation, example) in enumerate(measured.examples.items()):
        what = "without its spectrum" if situation == ABSENT else f"{situation}, image and spectrum"
        title = f"{example.object_id[0]}, z = {example.redshift_N[0]:.3f}: {what}"
        drawings.append(Drawing(f"example_{number}", f"{title}.", example_figure(example, spec, title)))
    left_out = "" if drawings else "The split has no galaxy with a redshift. Add spectroscopic redshifts."
    text = (
        "What the model is shown and what it makes of it: a near galaxy with most of it masked, a distant one "
        "of which it sees the image alone. Level and scale of an absent spectrum are taken from the observed one: "
        "the model predicts its shape."
    )
    return Section("examples", "What the model fills in", text, (), tuple(drawings), left_out)
