"""Runs in MLflow, and the buffer of metrics while its server is down."""
