"""Multi-Modal Masked Autoencoder (MMAE) for galaxy images and spectra, on Ray."""

__version__ = "0.4.0"
