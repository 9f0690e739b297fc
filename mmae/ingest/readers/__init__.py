"""Readers of the files of each survey, and what they share."""
