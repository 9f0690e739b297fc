"""Errors, folders and their names, settings to and from YAML, locks and atomic files, Ray start-up, untrusted input."""
