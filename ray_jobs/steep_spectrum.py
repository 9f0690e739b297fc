"""The command `mmae steep-spectrum` as a script: mmae/commands/steep_spectrum.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("steep-spectrum")
