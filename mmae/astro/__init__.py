"""Sky match, HEALPix cells, catalogue tables in archive formats, the line list, constants of DESI's arms."""
