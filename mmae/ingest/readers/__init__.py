"""Readers of the files of each survey, and their common functions."""
