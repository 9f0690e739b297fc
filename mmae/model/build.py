"""Builds a model from its configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from mmae.model.baselines.cnn import CNN
from mmae.model.baselines.contrastive import Contrastive
from mmae.model.batch import InputSpec
from mmae.model.config import CNNConfig, ContrastiveConfig, MMAEConfig, ModelConfig, PaperConfig
from mmae.model.mmae import MMAE
from mmae.model.paper import PaperMMAE

Model = MMAE | PaperMMAE | CNN | Contrastive

_MODELS = {MMAEConfig: MMAE, PaperConfig: PaperMMAE, CNNConfig: CNN, ContrastiveConfig: Contrastive}


@runtime_checkable
class OwnOptimisation(Protocol):
    """A model whose parameters do not all learn at one rate, with weight decay on matrices only."""

    learning_rate_factors: Mapping[str, float]
    """Parameters, by name, that learn at another rate: factors of the learning rate."""
    undecayed: Collection[str]
    """The parameters, by name, on which weight decay does not act."""


def build_model(config: ModelConfig, spec: InputSpec) -> Model:
    """Build the model of a configuration, with random weights.

    Raises:
        ValueError: a size in the configuration does not fit the survey's image or spectrum.
    """
    return _MODELS[type(config)](config, spec)
