"""Start a run from the weights of a bundle: fine-tuning, also on a survey of other bands, pixels or wavelengths.

A part of the model whose input or output means something else on the new survey starts with random weights; all
others are those of the bundle. The recalibration of p(z) is always fitted anew, at the end of the run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn

from mmae.bundle.bundle import Bundle
from mmae.bundle.load import load_bundle
from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.settings import flatten
from mmae.loader.collate import input_spec
from mmae.model.build import Model, build_model
from mmae.model.mmae import MMAE
from mmae.survey.leaks import require_no_leak
from mmae.survey.schema import GRIDS
from mmae.survey.store import Survey

RECALIBRATION = "recalibration"
HEADS = frozenset(
    ("decoder", "token_to_query", "redshift_head", "logits", "query_TE", "mixing", "to_patch", "to_level", "lines")
)
"""Names of modules and parameters after the encoder; the others are frozen with --freeze encoder."""
INPUT_UNITS = "zero_point"  # no reason for fresh weights: images are normalised by the noise of their own survey


@dataclass(frozen=True)
class Start:
    """The weights that a model takes from a bundle.

    Attributes:
        tensors: those taken, by name.
        fresh: part of the model that keeps its random weights -> why.
    """

    tensors: dict[str, Tensor]
    fresh: dict[str, str]


def require_fitting_start(config: RunConfig, survey: Survey) -> str:
    """Check that a run can start from its bundle; returns one line on what it takes from it.

    Raises:
        InputError: no bundle, one of another model, or one that was trained on test galaxies of the survey.
    """
    folder = Path(config.init)
    start = find_start(load_bundle(folder), build_model(config.model, input_spec(survey.spec)))
    require_no_leak(folder, survey, "test", allow_unknown=True)
    fresh = "; ".join(f"{part} fresh ({why})" for part, why in start.fresh.items())
    frozen = ", encoder frozen" if config.freeze == "encoder" else ""
    return f"init    {folder}: {len(start.tensors)} tensors taken{frozen}{f'; {fresh}' if fresh else ''}"


def start_from_bundle(model: Model, config: RunConfig) -> None:
    """Load the weights of the run's bundle into a new model, and freeze its encoder if the run says so.

    Raises:
        InputError: as `require_fitting_start`.
    """
    start = find_start(load_bundle(config.init), model)
    model.load_state_dict(start.tensors, strict=False)
    if config.freeze == "encoder":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in start.tensors or not HEADS.isdisjoint(name.split(".")))


def find_start(bundle: Bundle, model: Model) -> Start:
    """The weights that a model takes from a bundle.

    Raises:
        InputError: the models are of different kinds or sizes, or no parts of this kind of model can be fresh.
    """
    before, config = bundle.description.model, model.config
    if before.kind != config.kind:
        raise InputError(f"--init: the bundle has a model of kind {before.kind}, the run one of kind {config.kind}.")
    fresh = _fresh_parts(bundle, model)
    if fresh and not isinstance(model, MMAE):
        why = "; ".join(fresh.values())
        raise InputError(f"--init: a model of kind {config.kind} starts only on the grids of its bundle ({why}).")
    prefixes = tuple(f"{part}." for part in (*fresh, RECALIBRATION))
    tensors = {name: t for name, t in bundle.model.state_dict().items() if not name.startswith(prefixes)}
    wanted = {name: t for name, t in model.state_dict().items() if not name.startswith(prefixes)}
    unfit = [name for name in wanted.keys() | tensors.keys() if _shape(wanted, name) != _shape(tensors, name)]
    if unfit:
        raise InputError(
            f"--init: {len(unfit)} weights of the bundle do not fit the model, such as {min(unfit)}; "
            f"{_differences(before, config)}. Give the run the sizes of the bundle."
        )
    return Start(tensors, fresh)


def _fresh_parts(bundle: Bundle, model: Model) -> dict[str, str]:
    parts: dict[str, str] = {}
    for modality in model.n_tokens:
        part = f"modalities.{modality}"
        if modality not in bundle.modalities:
            parts |= {part: "not in the bundle", f"decoder.{modality}": "not in the bundle"}
            continue
        changes = [
            f"{name} {getattr(bundle.spec, name)} -> {getattr(model.spec, name)}"
            for name in GRIDS.get(modality, ())
            if name != INPUT_UNITS and getattr(bundle.spec, name) != getattr(model.spec, name)
        ]
        if isinstance(model, MMAE):
            before, now = (_below(m, part) for m in (bundle.model, model))
            if before.keys() != now.keys() or any(_shape(before, n) != _shape(now, n) for n in now):
                configs = (getattr(m.modalities, modality) for m in (bundle.description.model, model.config))
                changes.append(_differences(*configs))
        if changes:
            parts[part] = ", ".join(filter(None, changes))
    if isinstance(model, MMAE):
        if tuple(model.n_tokens) != bundle.modalities:
            parts["amount"] = "other modalities"
            unused = [name for name in bundle.modalities if name not in model.n_tokens]
            parts |= {f"{kind}.{name}": "not in the run" for name in unused for kind in ("modalities", "decoder")}
        if model.config.redshift != bundle.description.model.redshift:
            parts["redshift_head"] = "other redshift bins"
    return parts


def _below(model: nn.Module, part: str) -> dict[str, Tensor]:
    return {name: t for name, t in model.state_dict().items() if name.startswith(f"{part}.")}


def _shape(tensors: dict[str, Tensor], name: str) -> object:
    return tensors[name].shape if name in tensors else None


def _differences(before: object, now: object) -> str:
    """The options in which two configurations differ, as text."""
    was, is_now = (flatten(asdict(c)) for c in (before, now))
    changed = [f"{name} {was.get(name)} -> {is_now.get(name)}" for name in is_now if was.get(name) != is_now.get(name)]
    return ", ".join(changed) or "other versions of the model"
