"""From a configuration to a model."""

from __future__ import annotations

from mmae.model.batch import InputSpec
from mmae.model.mmae import MMAE, MMAEConfig
from mmae.model.paper import PaperConfig, PaperMMAE

ModelConfig = MMAEConfig | PaperConfig
Model = MMAE | PaperMMAE


def build_model(config: ModelConfig, spec: InputSpec) -> Model:
    """The model that a configuration describes.

    Raises:
        ValueError: its patches do not fit the survey's image or spectrum.
    """
    if isinstance(config, PaperConfig):
        return PaperMMAE(config, spec)
    return MMAE(config, spec)
