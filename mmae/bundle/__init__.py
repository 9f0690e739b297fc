"""A trained model in one folder, with all constants of its input: write, load, predict; no Ray needed to use it."""
