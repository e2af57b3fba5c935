"""A `tokenizer.json` made to do harm costs neither time nor memory: each in a process of its own, which is measured."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

_SIZE = 60 << 20
_MAX_SECONDS = 2
_MAX_KIB = 64 << 10

# Given a path, prints seconds, KiB of resident memory beyond what was there before, and the error.
# `ru_maxrss` would not do: it begins at what the parent has.
_LOAD = """
import pathlib, sys, time
from slm.errors import TokenizerError
from slm.tokenizer import Tokenizer
peak = lambda: int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before, started = peak(), time.monotonic()
try:
    Tokenizer.load(sys.argv[1])
except TokenizerError as error:
    print(time.monotonic() - started, peak() - before, str(error), sep="\\n")
"""

_STEPS = (
    '"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"}, '
    '"model": {"type": "BPE", '
)


def fill(file: TextIO, text: str, size: int) -> None:
    for _ in range(size // (len(text) << 10)):
        file.write(text * (1 << 10))


def nested(file: TextIO) -> None:
    fill(file, "[", _SIZE)


def nested_in_a_part(file: TextIO) -> None:
    file.write("{" + _STEPS + '"vocab": {}}, "post_processor": ')
    fill(file, '{"a":', _SIZE)


def nested_beyond_the_limit(file: TextIO) -> None:
    fill(file, "[", 100_000_000)


def the_same_key(file: TextIO) -> None:
    file.write("{" + _STEPS + '"vocab": {')
    fill(file, '"a": 0, ', _SIZE)


def the_same_id(file: TextIO) -> None:
    file.write("{" + _STEPS + '"merges": [], "vocab": {"a": 0, "b": 0}}}')


def merges_of_absent_tokens(file: TextIO) -> None:
    file.write("{" + _STEPS + '"vocab": {"a": 0, "b": 1}, "merges": [')
    fill(file, '["a", "b"], ', _SIZE)
    file.write('["a", "b"]]}}')


def merges_of_absent_tokens_before_the_vocabulary(file: TextIO) -> None:
    file.write("{" + _STEPS + '"merges": [')
    fill(file, '["absent", "tokens"], ', 1 << 20)
    file.write('["a", "b"]], "vocab": {"a": 0, "b": 1}}}')


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (nested, "invalid type: sequence"),
        (nested_in_a_part, "recursion limit exceeded"),
        (nested_beyond_the_limit, "is larger than the 64 MiB that such a file may have"),
        (the_same_key, "token `a` comes twice in the vocabulary"),
        (the_same_id, "tokens `a` and `b` both have id 0"),
        (merges_of_absent_tokens, "merge 0 (`a` and `b`) needs token `ab`, which is not in the vocabulary"),
        (merges_of_absent_tokens_before_the_vocabulary, "merge 0 (`absent` and `tokens`) needs token"),
    ],
)
def test_a_hostile_file_is_an_error_in_little_time_and_memory(
    write: Callable[[TextIO], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("w") as file:
        write(file)
    command = [sys.executable, "-c", _LOAD, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    seconds, kib, error = printed.split("\n", 2)
    assert message in error
    assert str(path) in error
    assert float(seconds) < _MAX_SECONDS
    assert int(kib) < _MAX_KIB
