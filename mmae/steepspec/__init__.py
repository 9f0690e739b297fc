"""Steep-spectrum radio sources inside Fermi error regions: from catalogues to pulsar candidates."""
