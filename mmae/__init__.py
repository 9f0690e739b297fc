"""Multi-Modal Masked Autoencoder (MMAE) for galaxy images and spectra, on Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mmae.bundle.bundle import Bundle

__version__ = "0.4.0"


def load(path: str | Path, device: str = "cpu") -> Bundle:
    """The trained model of a bundle, see `mmae.bundle.load.load_bundle`; needs torch, numpy and safetensors only."""
    from mmae.bundle.load import load_bundle  # imported here: without torch, `import mmae` is fast

    return load_bundle(path, device)
