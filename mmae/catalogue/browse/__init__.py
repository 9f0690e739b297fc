"""A page to look through the galaxies of a catalogue: sort, filter, enlarge."""
