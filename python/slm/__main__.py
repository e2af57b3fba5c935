"""Runs the command line as `python -m slm`, which is also what `torchrun -m slm` needs."""

from slm.cli.main import main

if __name__ == "__main__":
    main()
