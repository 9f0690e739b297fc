"""Figures of images, spectra, redshifts and training curves; contact sheet."""
