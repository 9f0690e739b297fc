"""Runs in MLflow, its database, and the buffer of metrics while its server is down."""
