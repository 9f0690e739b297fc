"""A trained model: find its run, load the checkpoint, predict, recalibrate p(z)."""
