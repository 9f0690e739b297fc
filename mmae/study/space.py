"""The search space: what Optuna may suggest, and the run configuration of a suggestion.

Define-by-run: the largest mask ratio depends on the patch size drawn before it, so that the encoder of every
trial has at least `MIN_VISIBLE` visible tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.model.batch import InputSpec
from mmae.model.build import Model, ModelConfig, build_model
from mmae.model.mmae import MMAEConfig
from mmae.study.config import Space

MIN_VISIBLE = 2  # tokens of each modality at the highest mask ratio: a single one has no neighbour
MODEL_FIELDS = ("image_patch", "spectrum_patch", "depth", "width")
MASKS = {"image_mask_ratio": "image_ratio", "spectrum_mask_ratio": "spectrum_ratio"}

Parameters = dict[str, float | int]
"""Value by field name of `Space`; varied fields only."""


class Suggester(Protocol):
    """The methods of an Optuna trial that `suggest` uses."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: tuple[int, ...]) -> int: ...


def suggest(trial: Suggester, space: Space, base: RunConfig, spec: InputSpec) -> Parameters:
    """Draw one point of the space; patches before mask ratios, whose range depends on them."""
    drawn: Parameters = {
        name: trial.suggest_categorical(name, getattr(space, name)) for name in MODEL_FIELDS if getattr(space, name)
    }
    model = described_model(run_of(drawn, base), spec)
    for name in MASKS:
        if getattr(space, name):
            low, high = _mask_range(name, space, model)
            drawn[name] = trial.suggest_float(name, low, high)
    if space.learning_rate:
        drawn["learning_rate"] = trial.suggest_float("learning_rate", *space.learning_rate, log=True)
    return drawn


def run_of(parameters: Parameters, base: RunConfig) -> RunConfig:
    """The base run with the parameters of a trial.

    A mask ratio is the upper end of the range that the run draws from. The ratio of the final learning rate
    to its peak is kept.
    """
    masks = {
        field: _with_upper_end(getattr(base.masks, field), parameters[name])
        for name, field in MASKS.items()
        if name in parameters
    }
    optim = base.optim
    if "learning_rate" in parameters:
        scale = parameters["learning_rate"] / optim.learning_rate
        optim = replace(
            optim, learning_rate=parameters["learning_rate"], final_learning_rate=optim.final_learning_rate * scale
        )
    model = {name: parameters[name] for name in MODEL_FIELDS if name in parameters}
    return replace(base, model=with_fields(base.model, model), masks=replace(base.masks, **masks), optim=optim)


def model_field(model: ModelConfig, name: str) -> int:
    """Value of a field of `Space` in a model's configuration; patch sizes are fields of the modalities."""
    modality = name.removesuffix("_patch")
    if isinstance(model, MMAEConfig) and modality != name:
        return getattr(model.modalities, modality).patch
    return getattr(model, name)


def with_fields(model: ModelConfig, values: Parameters) -> ModelConfig:
    """The model's configuration with fields of `Space` replaced."""
    if not isinstance(model, MMAEConfig):
        return replace(model, **values)
    patches = {name.removesuffix("_patch"): value for name, value in values.items() if name.endswith("_patch")}
    modalities = {name: replace(getattr(model.modalities, name), patch=value) for name, value in patches.items()}
    others = {name: value for name, value in values.items() if not name.endswith("_patch")}
    return replace(model, modalities=replace(model.modalities, **modalities), **others)


def _with_upper_end(ends: tuple[float, float], ratio: float) -> tuple[float, float]:
    low, high = ends
    return (ratio, ratio) if low == high else (min(low, ratio), ratio)


def parameters_of(run: RunConfig) -> Parameters:
    """The values of a run for every field of `Space`."""
    values: Parameters = {name: model_field(run.model, name) for name in MODEL_FIELDS}
    values |= {name: getattr(run.masks, field)[1] for name, field in MASKS.items()}
    return values | {"learning_rate": run.optim.learning_rate}


def base_parameters(space: Space, base: RunConfig, spec: InputSpec) -> Parameters | None:
    """The base run as a point of the space; None if it is outside."""
    values = {name: value for name, value in parameters_of(base).items() if getattr(space, name)}
    if any(values[name] not in getattr(space, name) for name in MODEL_FIELDS if name in values):
        return None
    ranges = {name: _mask_range(name, space, described_model(base, spec)) for name in MASKS if name in values}
    if space.learning_rate:
        ranges["learning_rate"] = space.learning_rate
    inside = all(low <= values[name] <= high for name, (low, high) in ranges.items())
    return values if inside else None


def require_possible(space: Space, base: RunConfig, spec: InputSpec) -> None:
    """Check every combination of choices before anything starts.

    Raises:
        InputError: a model cannot be built, or has too few tokens for the lowest mask ratio.
    """
    if not any(getattr(space, name) for name in (*MODEL_FIELDS, *MASKS, "learning_rate")):
        raise InputError("--space: no field is varied. Give at least one range or list of choices.")
    for chosen in choices(space):
        try:
            run = run_of(chosen, base)
            model = described_model(run, spec)
        except (ValueError, AssertionError) as error:  # torch asserts that the width is a multiple of the heads
            raise InputError(f"--space: {error} Remove this value.") from error
        for name, field in MASKS.items():
            lowest = (getattr(space, name) or getattr(run.masks, field)[1:])[0]
            if lowest > highest_ratio(model, name):
                patch = name.replace("mask_ratio", "patch")
                raise InputError(
                    f"--space: {patch} {model_field(run.model, patch)} gives {_tokens(model, name)} tokens, of "
                    f"which fewer than {MIN_VISIBLE} stay visible at a mask ratio of {lowest:g}. Remove this patch "
                    f"size, or lower {name}."
                )


def choices(space: Space) -> Iterator[Parameters]:
    """Every combination of the listed choices."""
    listed = {name: getattr(space, name) for name in MODEL_FIELDS if getattr(space, name)}
    for combination in itertools.product(*listed.values()):
        yield dict(zip(listed, combination, strict=True))


def described_model(run: RunConfig, spec: InputSpec) -> Model:
    """The model of a run on the meta device: configuration checks without memory for weights."""
    with torch.device("meta"):
        return build_model(run.model, spec)


def highest_ratio(model: Model, name: str) -> float:
    """The largest mask ratio that leaves `MIN_VISIBLE` tokens: masks hide round(ratio * tokens)."""
    tokens = _tokens(model, name)
    return max(0.0, (tokens - MIN_VISIBLE + 0.49) / tokens)


def _tokens(model: Model, name: str) -> int:
    return model.n_tokens[name.removesuffix("_mask_ratio")]


def _mask_range(name: str, space: Space, model: Model) -> tuple[float, float]:
    low, high = getattr(space, name)
    return low, min(high, highest_ratio(model, name))


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The whole space with one range for all trials, as Optuna's analyses need it."""
    spread: dict[str, BaseDistribution] = {}
    for name in (*MODEL_FIELDS, *MASKS, "learning_rate"):
        searched = getattr(space, name)
        if searched and name in MODEL_FIELDS:
            spread[name] = CategoricalDistribution(searched)
        elif searched:
            spread[name] = FloatDistribution(*searched, log=name == "learning_rate")
    return spread


def extremes(space: Space, base: RunConfig, spec: InputSpec) -> tuple[Parameters, Parameters]:
    """The cheapest and the most expensive trial of the space: fewest and most visible tokens."""

    class EndOfRange:
        def __init__(self, cheap: bool):
            self.cheap = cheap

        def suggest_categorical(self, name: str, choices: tuple[int, ...]) -> int:
            return max(choices) if name.endswith("patch") == self.cheap else min(choices)

        def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
            return high if self.cheap else low

    return suggest(EndOfRange(True), space, base, spec), suggest(EndOfRange(False), space, base, spec)


def space_lines(space: Space, base: RunConfig) -> list[tuple[str, str, Any]]:
    """For each parameter its name, the searched values as text, and the base run's value."""
    lines = []
    for name, value in parameters_of(base).items():
        searched = getattr(space, name)
        if not searched:
            text = "fixed"
        elif name in MODEL_FIELDS:
            text = ", ".join(str(choice) for choice in searched)
        else:
            text = f"{searched[0]:g} to {searched[1]:g}" + (", log" if name == "learning_rate" else "")
        lines.append((name, text, value))
    return lines
