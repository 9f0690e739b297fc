"""The command `mmae align` as a script: mmae/commands/align.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("align")
