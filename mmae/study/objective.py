"""What a study minimises, and the numbers by which its trials are compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mmae.config import RunConfig, modalities_of
from mmae.core.errors import InputError
from mmae.model.config import MMAEConfig, PaperConfig

Objective = Literal["scatter", "reconstruction", "scatter-reconstruction", "scatter-cost", "scatter-throughput"]


@dataclass(frozen=True)
class Measure:
    """A number of a trial.

    Attributes:
        key: in a trial's reports, in MLflow and as name of a column.
        name: in sentences.
        heading: of columns.
        axis: label of axes, in the notation of matplotlib.
        symbol: the same without the word validation, for labels that say which validation.
        format: of its values in text.
        direction: of its optimisation, for Optuna.
        errors: a sentence about its error bars; empty if it has none.
    """

    key: str
    name: str
    heading: str
    axis: str
    symbol: str = ""
    format: str = ".4f"
    direction: Literal["minimize", "maximize"] = "minimize"
    errors: str = ""


SCATTER = Measure(
    "sigma_nmad",
    "scatter",
    "σ_NMAD",
    r"validation $\sigma_\mathrm{NMAD}$",
    r"$\sigma_\mathrm{NMAD}$",
    errors=" Errors are 68% intervals.",
)
HIDDEN = Measure(
    "reconstruction",
    "hidden-pixel error",
    "hidden-pixel\nerror",
    "validation hidden-pixel error",
    "hidden-pixel error",
    format=".4g",  # the unit of the published model's is counts^2
)
TRAINING_COST = Measure("full_flops", "training cost", "training [FLOP]", "training cost [FLOP]")
THROUGHPUT = Measure(
    "throughput", "inference throughput", "inference [galaxies/s]", "inference [galaxies/s]", direction="maximize"
)
OBJECTIVES: dict[Objective, tuple[Measure, ...]] = {
    "scatter": (SCATTER,),
    "reconstruction": (HIDDEN,),
    "scatter-reconstruction": (SCATTER, HIDDEN),
    "scatter-cost": (SCATTER, TRAINING_COST),
    "scatter-throughput": (SCATTER, THROUGHPUT),
}
"""What each objective optimises. The first is the criterion for early stopping and for the winner."""


def reconstructed(run: RunConfig) -> str:
    """The modality whose hidden part is measured: the first that the model reads. Empty if nothing of it is hidden, or
    if the model reconstructs nothing."""
    first = modalities_of(run.model)[0]
    hidden = getattr(run.masks, f"{first}_ratio")[1] > 0
    return first if hidden and isinstance(run.model, MMAEConfig | PaperConfig) else ""


def require_measured(objective: Objective, run: RunConfig) -> None:
    """Check that the runs of a study have the numbers of its objective.

    Raises:
        InputError: the reconstruction is to be minimised, and the model reconstructs nothing.
    """
    if HIDDEN in OBJECTIVES[objective] and not reconstructed(run):
        raise InputError(
            f"--objective {objective}: recipe {run.recipe} reconstructs nothing that is hidden. Use "
            "--objective scatter, or a recipe that reconstructs, such as small."
        )


def reconstruction(run: RunConfig) -> Measure:
    """The validation loss of the modality that `reconstructed` names."""
    modality = reconstructed(run)
    if modality in ("image", ""):
        return HIDDEN
    name = f"error of hidden {modality}"
    return replace(HIDDEN, name=name, heading=f"error of hidden\n{modality}", axis=f"validation {name}", symbol=name)


def criterion(objective: Objective, run: RunConfig) -> Measure:
    """The number by which trials are stopped early and the winner is chosen."""
    first = OBJECTIVES[objective][0]
    return reconstruction(run) if first is HIDDEN else first
