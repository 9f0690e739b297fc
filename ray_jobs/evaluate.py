"""The command `mmae evaluate` as a script: mmae/commands/evaluate.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("evaluate")
