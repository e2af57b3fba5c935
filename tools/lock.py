"""Prints a pip constraints file: what the ranges of pyproject.toml resolve to today, all extras included."""

import json
import subprocess
import sys


def main() -> None:
    """Resolve without installing, and print one `name==version` a line."""
    report = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            "-",
            ".[test,lint]",
        ],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    packages = (entry["metadata"] for entry in json.loads(report)["install"])
    locked = sorted(
        f"{package['name'].lower()}=={package['version']}" for package in packages if package["name"] != "slm-foundry"
    )
    print("# Written by `make lock`; used by `make test` and CI, never by users.")
    print("\n".join(locked))


if __name__ == "__main__":
    main()
