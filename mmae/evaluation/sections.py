"""Makes the sections of the report from the results of the tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from mmae.core.progress import ProgressBar
from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.example_figure import example_figure
from mmae.evaluation.flag_section import flag_section
from mmae.evaluation.hidden.parts import HiddenParts
from mmae.evaluation.hidden.section import TITLE as HIDDEN_TITLE
from mmae.evaluation.hidden.section import hidden_section
from mmae.evaluation.images.section import TITLE as IMAGES_TITLE
from mmae.evaluation.images.section import images_section
from mmae.evaluation.lines.section import TITLE as SPECTRA_TITLE
from mmae.evaluation.lines.section import spectra_section
from mmae.evaluation.photoz.section import point_section
from mmae.evaluation.photoz.strata import MAGNITUDE, REDSHIFT, families
from mmae.evaluation.pz.section import pz_section
from mmae.evaluation.reconstructions import ABSENT, ReconstructionMeasures
from mmae.evaluation.representation.section import (
    REPRESENTATION_TITLE,
    SHIFT_TITLE,
    representation_section,
    shift_section,
)
from mmae.evaluation.representation.targets import Features, Targets, targets_of
from mmae.evaluation.surface.section import TITLE as SURFACE_TITLE
from mmae.evaluation.surface.section import surface_section
from mmae.inference.flags import FlagLimits
from mmae.inference.readings import Readings, Spectroscopy
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.report.contents import Drawing, Section
from mmae.survey.schema import SurveySpec

BREAK = "Dn4000"  # Balogh et al. (1999): small in star-forming galaxies
EXAMPLES_TITLE = "Examples of reconstructions"
FEWER_RESAMPLES = 300  # in sections with many scores
NEED_RUNNING_TASKS = ("examples", "surface", "hidden", "spectra", "images")  # made last


@dataclass(frozen=True)
class SplitReadings:
    """Galaxies of one split and the model's predictions for them by mode, nothing masked."""

    catalogue: Catalogue
    readings: dict[str, Readings]
    spectroscopy: Spectroscopy

    def targets(self) -> Targets:
        return targets_of(self.catalogue, self.spectroscopy.dn4000_N, BREAK)


@dataclass(frozen=True)
class Results:
    """Results of the tasks; futures for the tasks that may still run.

    Attributes:
        test: the evaluated galaxies.
        train: training galaxies of the survey; None if it has none.
        surface_redshift_N: spectroscopic redshifts of the galaxies of the surface.
        z_pred_ISN: predicted redshifts of these galaxies for every pair of masked fractions; None for a model that
            does not read both image and spectrum.
        reconstructions: measurements of the reconstructions of the evaluated galaxies.
        hidden: measures of hidden parts of the first evaluated galaxies; None for a model without reconstructions.
        baselines: redshifts of the evaluated galaxies from their magnitudes alone; empty without training galaxies or
            magnitudes.
        flags: limits of the warning flags; None for a checkpoint without any.
    """

    spec: SurveySpec
    test: SplitReadings
    train: SplitReadings | None
    surface_redshift_N: np.ndarray
    z_pred_ISN: Future[np.ndarray | None]
    reconstructions: Future[ReconstructionMeasures]
    hidden: Future[HiddenParts | None]
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    flags: FlagLimits | None = None

    def pdfs(self) -> dict[str, tuple[RedshiftPDF, np.ndarray]]:
        """Mode -> p(z), and (N,) bool: the inputs of the mode are present; empty for a model without p(z)."""
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


def make_sections(results: Results, config: EvaluateConfig) -> list[Section]:
    """All sections in the order of the report, with a progress bar; those that need running tasks are made last."""
    makers = _makers(results, config)
    order = sorted(makers, key=lambda name: name in NEED_RUNNING_TASKS)
    sections = {name: makers[name]() for name in ProgressBar(order, desc="sections", unit="section")}
    return [sections[name] for name in makers]


def _makers(results: Results, config: EvaluateConfig) -> dict[str, Callable[[], Section]]:
    seed, resamples = config.seed, config.bootstrap
    fewer = min(resamples, FEWER_RESAMPLES)
    catalogue, snr_N = results.test.catalogue, results.test.spectroscopy.snr_N
    strata = {
        family.name: {s.label: s.member_N for s in family.strata}
        for family in families(catalogue, snr_N)
        if family.name in (REDSHIFT, MAGNITUDE)
    }

    def redshift() -> Section:
        z_train = results.train.catalogue.redshift_N if results.train else None
        return point_section(
            catalogue,
            {mode: r.prediction_N for mode, r in results.test.readings.items()},
            snr_N,
            z_train=z_train,
            seed=seed,
            resamples=resamples,
            baselines=results.baselines,
        )

    def probes(name: str, title: str, make: Callable[..., Section]) -> Section:
        if results.train is None:
            return Section(name, title, "", left_out="The survey has no training galaxies for the probes.")
        return make(results.features(), results.train.targets(), results.test.targets(), seed=seed, resamples=fewer)

    def surface() -> Section:
        z_pred_ISN = results.z_pred_ISN.result()
        if z_pred_ISN is None:
            return _without("surface", SURFACE_TITLE, "read both image and spectrum")
        ratios = config.surface_ratios
        return surface_section(z_pred_ISN, ratios, ratios, results.surface_redshift_N, seed=seed, resamples=fewer)

    def hidden() -> Section:
        parts = results.hidden.result()
        if parts is None:
            return _without("hidden", HIDDEN_TITLE, "reconstruct images or spectra")
        measured = catalogue.chosen(np.arange(parts.galaxies))
        return hidden_section(parts, measured, results.spec, seed=seed, resamples=fewer)

    def spectra() -> Section:
        measures = results.reconstructions.result().spectra
        if measures is None:
            return _without("spectra", SPECTRA_TITLE, "reconstruct spectra")
        return spectra_section(measures, seed=seed)

    def images() -> Section:
        measures = results.reconstructions.result().images
        if measures is None:
            return _without("images", IMAGES_TITLE, "reconstruct images")
        return images_section(measures, catalogue, results.spec, seed=seed, resamples=fewer)

    return {
        "examples": lambda: example_section(results.reconstructions.result(), results.spec),
        "redshift": redshift,
        "surface": surface,
        "pz": lambda: pz_section(
            results.pdfs(), catalogue.redshift_N, strata, seed=seed, resamples=fewer, object_id_N=catalogue.object_id_N
        ),
        "hidden": hidden,
        "flags": lambda: flag_section(results.flags, results.test.readings, catalogue.redshift_N, seed=seed),
        "spectra": spectra,
        "images": images,
        "representation": lambda: probes("representation", REPRESENTATION_TITLE, representation_section),
        "shift": lambda: probes("shift", SHIFT_TITLE, shift_section),
    }


def example_section(measures: ReconstructionMeasures, spec: SurveySpec) -> Section:
    """Two example galaxies, in the layout of the paper's figures."""
    if measures.images is None or measures.spectra is None:
        return _without("examples", EXAMPLES_TITLE, "reconstruct both image and spectrum")
    drawings = []
    for number, (situation, example) in enumerate(measures.examples.items()):
        masking = "without its spectrum" if situation == ABSENT else f"{situation}, image and spectrum"
        title = f"{example.object_id[0]}, z = {example.redshift_N[0]:.3f}: {masking}"
        drawings.append(Drawing(f"example_{number}", f"{title}.", example_figure(example, spec, title)))
    left_out = "" if drawings else "The split has no galaxy with a redshift. Add spectroscopic redshifts."
    text = (
        "Input and reconstruction: a near galaxy with most of image and spectrum masked, and a distant one with only "
        "the image visible. For an absent spectrum, the published model predicts the shape only: level and scale are "
        "taken from the observed spectrum. Other models predict all three."
    )
    return Section("examples", EXAMPLES_TITLE, text, (), tuple(drawings), left_out)


def _without(name: str, title: str, ability: str) -> Section:
    """A section that does not apply to the model."""
    return Section(name, title, "", left_out=f"Left out: this model does not {ability}.")
