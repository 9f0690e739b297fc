"""From a trained model and a survey to a catalogue on the sky: predictions of all galaxies as a HATS catalogue."""
