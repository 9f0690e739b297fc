"""The command `mmae search` as a script: mmae/commands/search.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("search")
