"""The command `mmae predict` as a script: mmae/commands/predict.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("predict")
