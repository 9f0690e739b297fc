"""Search for steep-spectrum radio sources in Fermi error ellipses: from catalogues to pulsar candidates."""
