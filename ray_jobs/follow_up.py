"""The command `mmae follow-up` as a script: mmae/commands/follow_up.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("follow-up")
