"""Optimiser step, training loop, Ray Train worker, checkpoints, final scores."""
