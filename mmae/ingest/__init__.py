"""Building of surveys from files of archives or the simulation: readers, pairing on the sky, build, resume."""
