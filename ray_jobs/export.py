"""The command `mmae export` as a script: mmae/commands/export.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("export")
