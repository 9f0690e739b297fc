"""The command `mmae sweep` as a script: mmae/commands/sweep.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("sweep")
