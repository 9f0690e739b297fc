"""The command `mmae pretrain` as a script: mmae/commands/pretrain.py."""

from mmae.commands import run

if __name__ == "__main__":
    run("pretrain")
