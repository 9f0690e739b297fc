"""The simulated sky: population, spectral energy distributions, spectrograph and camera."""
