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
from mmae.model.build import Model, build_model
from mmae.model.config import MMAEConfig, ModelConfig, PaperConfig
from mmae.model.masking import modes_of
from mmae.study.config import Space

MIN_VISIBLE = 2  # tokens of each modality at the highest mask ratio: a single one has no neighbour
MODEL_FIELDS = ("image_patch", "spectrum_patch", "depth", "width")
MASKS = {"image_mask_ratio": "image_ratio", "spectrum_mask_ratio": "spectrum_ratio"}

DEFAULT_SPACE = Space()

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

    A mask ratio is the upper end of the range that the run draws from. The ratios of Muon's and of the final
    learning rate to the learning rate are kept.
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
            optim,
            learning_rate=parameters["learning_rate"],
            muon_learning_rate=optim.muon_learning_rate * scale,
            final_learning_rate=optim.final_learning_rate * scale,
        )
    model = {name: parameters[name] for name in MODEL_FIELDS if name in parameters}
    return replace(base, model=with_fields(base.model, model), masks=replace(base.masks, **masks), optim=optim)


def model_field(model: ModelConfig, name: str) -> int | None:
    """Value of a field of `Space` in a model's configuration; None if the model has no such field."""
    modality = name.removesuffix("_patch")
    if modality != name and not isinstance(model, PaperConfig):
        config = getattr(_modalities(model), modality, None)  # patch sizes are fields of the modalities
        return config.patch if config is not None and config.use else None
    return getattr(model, name, None)


def with_fields(model: ModelConfig, values: Parameters) -> ModelConfig:
    """The model's configuration with fields of `Space` replaced."""
    if isinstance(model, PaperConfig):
        return replace(model, **values)
    modalities = _modalities(model)
    patches = {name.removesuffix("_patch"): value for name, value in values.items() if name.endswith("_patch")}
    changed = {name: replace(getattr(modalities, name), patch=value) for name, value in patches.items()}
    others: dict[str, Any] = {name: value for name, value in values.items() if not name.endswith("_patch")}
    if isinstance(model, MMAEConfig):
        return replace(model, modalities=replace(model.modalities, **changed), **others)
    return replace(model, **changed, **others)


def _modalities(model: ModelConfig) -> Any:
    """The object whose fields are the configurations of the model's modalities."""
    return model.modalities if isinstance(model, MMAEConfig) else model


def input_mode(run: RunConfig, spec: InputSpec) -> str:
    """The input mode whose scatter a study measures: the image, unless the model does not read it."""
    return next(iter(modes_of(described_model(run, spec).n_tokens)))


def applicable_space(space: Space, base: RunConfig, spec: InputSpec) -> tuple[Space, list[str]]:
    """The part of the space that the model of the base run has.

    Of fields at their default, choices that the model cannot have are left out too; given ones are checked by
    `require_possible`.

    Returns:
        The space, and one line for each kind of difference.
    """
    n_tokens = described_model(base, spec).n_tokens
    has = {name: model_field(base.model, name) is not None for name in MODEL_FIELDS}
    # The only token of a modality cannot be masked.
    has |= {name: n_tokens.get(name.removesuffix("_mask_ratio"), 0) > 1 for name in MASKS}
    absent = [name for name in has if not has[name] and getattr(space, name)]
    whole = [n for n in _fields_of_whole(base) if has[n] and getattr(space, n) == getattr(DEFAULT_SPACE, n)]
    lines = []
    if absent:
        lines.append(f"not varied, because recipe {base.recipe} does not have them: {', '.join(absent)}")
    if whole:
        lines.append(f"not varied, because recipe {base.recipe} hides no part of the modality: {', '.join(whole)}")
    kept = replace(space, **dict.fromkeys([*absent, *whole], ()))
    for name in MODEL_FIELDS:
        choices = getattr(kept, name)
        if not choices or choices != getattr(DEFAULT_SPACE, name):
            continue
        possible = tuple(value for value in choices if not _fault(kept, {name: value}, base, spec))
        if possible != choices:
            left = ", ".join(str(value) for value in choices if value not in possible)
            lines.append(f"left out, because recipe {base.recipe} cannot have them: {name} {left}")
            kept = replace(kept, **{name: possible})
    return kept, lines


def _fields_of_whole(base: RunConfig) -> list[str]:
    """The fields without use for modalities that the base run always shows whole.

    The patch of an image is one of them, because whole images have tokens of their own size (not in the published
    model).
    """
    fields = [name for name, field in MASKS.items() if getattr(base.masks, field)[1] == 0]
    if "image_mask_ratio" in fields and not isinstance(base.model, PaperConfig):
        fields.append("image_patch")
    return fields


def _with_upper_end(ends: tuple[float, float], ratio: float) -> tuple[float, float]:
    low, high = ends
    return (ratio, ratio) if low == high else (min(low, ratio), ratio)


def parameters_of(run: RunConfig) -> Parameters:
    """The values of a run for the fields of `Space` that its model has."""
    fields = {name: model_field(run.model, name) for name in MODEL_FIELDS}
    values: Parameters = {name: value for name, value in fields.items() if value is not None}
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
        fault = _fault(space, chosen, base, spec)
        if fault:
            raise InputError(f"--space: {fault}")


def _fault(space: Space, chosen: Parameters, base: RunConfig, spec: InputSpec) -> str:
    """Why a model with these choices cannot be built, or has too few tokens for the lowest mask ratio; empty if it can
    be trained."""
    try:
        run = run_of(chosen, base)
        model = described_model(run, spec)
    except (ValueError, AssertionError) as error:  # torch asserts that the width is a multiple of the heads
        return f"{error} Remove this value."
    for name, field in MASKS.items():
        if name.removesuffix("_mask_ratio") not in model.n_tokens:
            continue
        lowest = (getattr(space, name) or getattr(run.masks, field)[1:])[0]
        if lowest > highest_ratio(model, name):
            patch = name.replace("mask_ratio", "patch")
            return (
                f"{patch} {model_field(run.model, patch)} gives {_tokens(model, name)} tokens, of which fewer than "
                f"{MIN_VISIBLE} stay visible at a mask ratio of {lowest:g}. Remove this patch size, or lower {name}."
            )
    return ""


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


def space_lines(space: Space, base: RunConfig, spec: InputSpec) -> list[tuple[str, str, Any]]:
    """For each parameter of the model its name, the searched values as text, and the base run's value."""
    n_tokens = described_model(base, spec).n_tokens
    lines = []
    for name, value in parameters_of(base).items():
        if name in MASKS and name.removesuffix("_mask_ratio") not in n_tokens:
            continue
        searched = getattr(space, name)
        if not searched:
            text = "fixed"
        elif name in MODEL_FIELDS:
            text = ", ".join(str(choice) for choice in searched)
        else:
            text = f"{searched[0]:g} to {searched[1]:g}" + (", log" if name == "learning_rate" else "")
        lines.append((name, text, value))
    return lines
