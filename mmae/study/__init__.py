"""Hyperparameter study with Optuna on Ray Tune."""
