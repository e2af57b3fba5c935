"""What a run ran on: enough to say later why two runs differ."""

import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = ("slm-foundry", "numpy", "safetensors")


def describe_environment(device: torch.device) -> dict[str, str]:
    """Describe the software and the machine.

    Args:
        device: Where the run trains.

    Returns:
        Versions, the processor, the accelerator if any, and the git revision of the working directory if it is in a
        repository.
    """
    environment = {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "torch_threads": str(torch.get_num_threads()),
        "device": str(device),
        "torch": torch.__version__,
    }
    for package in _PACKAGES:
        try:
            environment[package] = version(package)
        except PackageNotFoundError:
            environment[package] = "not installed"
    if device.type == "cuda":
        environment["gpu"] = torch.cuda.get_device_name(device)
        environment["cuda"] = str(torch.version.cuda)
    revision = _git_revision()
    return environment | ({"git_revision": revision} if revision else {})


def _git_revision() -> str | None:
    """Ask git for the commit of the working directory, `+changes` added where files differ from it."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str:
        command = [git, *arguments]
        result = subprocess.run(command, capture_output=True, check=True, text=True, timeout=5)  # noqa: S603
        return result.stdout.strip()

    try:
        return ask("rev-parse", "HEAD") + ("+changes" if ask("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
