"""Builds a model from its configuration."""

from __future__ import annotations

from mmae.model.baselines.cnn import CNN, CNNConfig
from mmae.model.baselines.contrastive import Contrastive, ContrastiveConfig
from mmae.model.batch import InputSpec
from mmae.model.mmae import MMAE, MMAEConfig
from mmae.model.paper import PaperConfig, PaperMMAE

ModelConfig = MMAEConfig | PaperConfig | CNNConfig | ContrastiveConfig
Model = MMAE | PaperMMAE | CNN | Contrastive

_MODELS = {MMAEConfig: MMAE, PaperConfig: PaperMMAE, CNNConfig: CNN, ContrastiveConfig: Contrastive}


def build_model(config: ModelConfig, spec: InputSpec) -> Model:
    """Build the model of a configuration, with random weights.

    Raises:
        ValueError: a size in the configuration does not fit the survey's image or spectrum.
    """
    return _MODELS[type(config)](config, spec)
