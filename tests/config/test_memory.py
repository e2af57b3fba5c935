"""The estimate against the memory of a process that takes real steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slm.config import RunConfig, estimate_memory

CONFIGS = Path(__file__).parents[2] / "configs"

# A tiny model loads the libraries; the rise from there to the highest is what a step of each run takes.
MEASURE = """
import json, sys
import torch
from slm.config import RunConfig
from slm.model import Transformer

def train(run, steps=2):
    model = Transformer(run.model)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.zeros(run.train.micro_batch_rows, run.train.row_tokens, dtype=torch.int64)
    for _ in range(steps):
        for _ in range(run.train.accumulation_steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=run.train.precision == "bfloat16"):
                loss = model.nll(ids, ids).mean()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

def resident(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

for path, overrides in json.loads(sys.argv[1]):
    tiny = ["model.vocab_size=64", "model.num_hidden_layers=1", "train.micro_batch_rows=1", "train.row_tokens=16"]
    train(RunConfig.load(path, [*overrides, *tiny]))
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest so far is forgotten
    before = resident("VmRSS")
    train(RunConfig.load(path, overrides))
    print(resident("VmHWM") - before)
"""

RUNS = [
    ("nano", ["train.precision=float32", "train.micro_batch_rows=8"]),
    ("nano", ["train.precision=bfloat16", "train.micro_batch_rows=8"]),
    ("nano", ["train.precision=float32", "train.accumulation_steps=2", "train.micro_batch_rows=4"]),
    ("micro", ["train.precision=float32", "train.micro_batch_rows=1", "train.row_tokens=256"]),
]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="reads the size of the process from /proc")
def test_the_peak_is_within_a_quarter_of_what_a_step_takes() -> None:
    # Every tensor is mapped by itself and given back when freed; by default glibc keeps up to half as much again.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    runs = [(str(CONFIGS / f"{size}.yaml"), overrides) for size, overrides in RUNS]
    command = [sys.executable, "-c", MEASURE, json.dumps(runs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    measured = [int(line) for line in done.stdout.split()]
    estimated = [estimate_memory(RunConfig.load(*run)).peak for run in runs]
    ratios = [estimate / rise for estimate, rise in zip(estimated, measured, strict=True)]
    assert all(0.8 <= ratio <= 1.25 for ratio in ratios), (ratios, measured)
