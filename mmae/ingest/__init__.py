"""From files of other archives, or the simulation, to a survey: readers, pairing on the sky, build, resume."""
