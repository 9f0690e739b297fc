"""The command `mmae browse` as a script: mmae/commands/browse.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("browse")
