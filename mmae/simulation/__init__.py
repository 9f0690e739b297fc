"""Simulated galaxies: population, spectral energy distributions, spectrograph and camera."""
