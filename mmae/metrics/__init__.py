"""Scatter, bias and outliers with errors, scores and calibration of p(z), photometric features."""
