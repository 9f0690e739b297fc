"""The command `mmae build-survey` as a script: mmae/commands/build_survey.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("build-survey")
