"""Whole processes, ours and the peers', measured in one run. `python -m benches --help` lists them."""
