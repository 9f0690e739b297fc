"""The command `mmae audit` as a script: mmae/commands/audit.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("audit")
