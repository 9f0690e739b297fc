"""One file for each layout of files of known sources: which columns a file has, and the values of some of its rows."""
