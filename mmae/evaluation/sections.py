"""From what was gathered to the sections of the page, in the order a referee would ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.figures_example import example_figure
from mmae.evaluation.gather import Readings, Spectroscopy
from mmae.evaluation.images.section import images_section
from mmae.evaluation.lines.section import spectra_section
from mmae.evaluation.photoz.section import point_section
from mmae.evaluation.photoz.strata import MAGNITUDE, REDSHIFT, families
from mmae.evaluation.pz.distribution import RedshiftPDF
from mmae.evaluation.pz.section import pz_section
from mmae.evaluation.reconstructions import ABSENT, Measured
from mmae.evaluation.representation.section import representation_section, shift_section
from mmae.evaluation.representation.targets import Features, Targets, targets_of
from mmae.evaluation.surface.section import surface_section
from mmae.report.contents import Drawing, Section
from mmae.survey.schema import SurveySpec

BREAK = "Dn4000"  # Balogh et al. (1999): small in galaxies that form stars
PASS_BOOTSTRAP = 300  # resamples where many scores are made


@dataclass(frozen=True)
class Gathered:
    """All that was read from the survey and from the model.

    Attributes:
        readings, train_readings: mode -> what the model says of test and training galaxies.
        z_pred_ISN: redshifts under every pair of masked fractions, of the first galaxies.
        surface_redshift_N: spectroscopic redshifts of those.
    """

    spec: SurveySpec
    catalogue: Catalogue
    readings: dict[str, Readings]
    spectroscopy: Spectroscopy
    train_catalogue: Catalogue
    train_readings: dict[str, Readings]
    train_spectroscopy: Spectroscopy
    z_pred_ISN: np.ndarray
    surface_redshift_N: np.ndarray
    measured: Measured

    def pdfs(self) -> dict[str, tuple[RedshiftPDF, np.ndarray]]:
        """Mode -> p(z) and who has what the mode needs; empty for a model without p(z)."""
        return {mode: (RedshiftPDF(r.edges_K1, r.probability_NK), r.usable_N)
                for mode, r in self.readings.items() if r.probability_NK is not None}

    def embeddings(self) -> dict[str, Features]:
        return {mode: Features(self.train_readings[mode].embedding_ND, readings.embedding_ND)
                for mode, readings in self.readings.items()}

    def targets(self) -> tuple[Targets, Targets]:
        """Of training and test galaxies."""
        return (targets_of(self.train_catalogue, self.train_spectroscopy.dn4000_N, BREAK),
                targets_of(self.catalogue, self.spectroscopy.dn4000_N, BREAK))


def make_sections(gathered: Gathered, config: EvaluateConfig, console: Console) -> list[Section]:
    """Every section, with a progress bar."""
    g, seed, resamples = gathered, config.seed, config.bootstrap
    few = min(resamples, PASS_BOOTSTRAP)
    train, test = g.targets()
    z_train = g.train_catalogue.redshift_N
    strata = {family.name: {s.label: s.member_N for s in family.strata}
              for family in families(g.catalogue, g.spectroscopy.snr_N) if family.name in (REDSHIFT, MAGNITUDE)}
    makers: dict[str, Callable[[], Section]] = {
        "examples": lambda: example_section(g),
        "redshift": lambda: point_section(
            g.catalogue, {mode: r.prediction_N for mode, r in g.readings.items()}, g.spectroscopy.snr_N,
            z_train=z_train[np.isfinite(z_train)], seed=seed, resamples=resamples),
        "surface": lambda: surface_section(g.z_pred_ISN, config.surface_ratios, config.surface_ratios,
                                           g.surface_redshift_N, seed=seed, resamples=few),
        "pz": lambda: pz_section(g.pdfs(), g.catalogue.redshift_N, strata, seed=seed, resamples=few,
                                 object_id_N=g.catalogue.object_id_N),
        "spectra": lambda: spectra_section(g.measured.spectra, seed=seed),
        "images": lambda: images_section(g.measured.images, g.catalogue, g.spec, seed=seed, resamples=few),
        "representation": lambda: representation_section(g.embeddings(), train, test, seed=seed, resamples=few),
        "shift": lambda: shift_section(g.embeddings(), train, test, seed=seed, resamples=few),
    }
    return [make() for make in track(makers.values(), "scores", console=console, transient=True)]


def example_section(gathered: Gathered) -> Section:
    """Two galaxies in full, in the form of the paper's figures."""
    drawings = []
    for number, (situation, example) in enumerate(gathered.measured.examples.items()):
        what = "without its spectrum" if situation == ABSENT else f"{situation}, image and spectrum"
        title = f"{example.object_id[0]}, z = {example.redshift_N[0]:.3f}: {what}"
        drawings.append(Drawing(f"example_{number}", f"{title}.", example_figure(example, gathered.spec, title)))
    left_out = "" if drawings else "The split has no galaxy with a redshift. Add spectroscopic redshifts."
    text = ("What the model is shown and what it makes of it: a near galaxy with most of it masked, a distant one "
            "of which it sees the image alone. Level and scale of an absent spectrum are taken from the observed one: "
            "the model predicts its shape.")
    return Section("examples", "What the model fills in", text, (), tuple(drawings), left_out)
