"""`python -m mmae.commands` is `mmae`."""

from mmae.commands import console_script

if __name__ == "__main__":
    console_script()
