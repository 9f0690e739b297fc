"""Sections, tables and figures as an HTML page, as JSON and in the terminal."""
