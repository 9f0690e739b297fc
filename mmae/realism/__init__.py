"""Comparison of a simulated survey with published numbers and real data."""
