"""Hold-out simulation: a survey with templates and rendering independent of the main simulation, never trained on.

The two share the instruments (filter curves, spectrograph, gain), the Galactic dust and the format of a row, and
nothing of what a galaxy is.
"""
