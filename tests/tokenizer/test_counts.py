"""Counts as an artifact: killed, interrupted, added up and trained on, they are those of the text."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from slm import _core
from slm.errors import ConfigError, DataError, SlmWarning
from slm.tokenizer import Counts, Tokenizer, count_pretokens, merge_counts, train_tokenizer, train_tokenizers

CHILD = """
import json, sys
from slm.tokenizer import count_pretokens
counts = count_pretokens(sys.argv[1], out=sys.argv[2], part_size=300_000, num_threads=2, memory_limit="64MiB")
print(json.dumps({"counted": counts.counted_bytes, "resumed": counts.resumed_parts}))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five files of 12 MB in all, one of them of 8 MB; words are mostly different."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = random.Random(0)
    for i, num_words in enumerate([60_000, 1_500_000, 400_000, 10, 300_000]):
        words = (f"{generator.getrandbits(30):x}"[: generator.randint(1, 8)] for _ in range(num_words))
        (folder / f"{i}.txt").write_text(" ".join(words))
    return folder


@pytest.fixture(scope="module")
def counted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Counts:
    return count_pretokens(corpus, out=tmp_path_factory.mktemp("counted") / "counts")


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def journaled_text(directory: Path) -> int:
    """Bytes of text in finished parts."""
    try:
        journal = json.loads((directory / "journal.json").read_text())
    except FileNotFoundError:
        return 0
    position = journal["position"]
    return position["anchor"]["summary"]["text_bytes"] + position["behind_bytes"]


def start(corpus: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", CHILD, str(corpus), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_killed_again_and_again_the_bytes_are_the_same_and_finished_parts_are_not_counted_again(
    corpus: Path, counted: Counts, tmp_path: Path
) -> None:
    generator = random.Random(1)
    kills = 0
    out = tmp_path / "counts"
    while True:
        before = journaled_text(out)
        child = start(corpus, out)
        # Between two parts, in the middle of one, while runs are added up: some instants after a part is finished.
        parts_to_come = generator.randint(0, 2)
        while child.poll() is None:
            now = journaled_text(out)
            if now != before and now > before + parts_to_come * 1_000_000:
                time.sleep(generator.random() * 0.02)
                break
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        stdout, stderr = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), stderr
        assert journaled_text(out) >= before or (out / "manifest.json").exists()
        if child.returncode == 0:
            break
        kills += 1
        assert kills < 60
    report = json.loads(stdout)
    assert kills >= 4
    assert files_of(out) == files_of(counted.path)
    if before:
        assert report["resumed"] > 0
    if report["counted"]:
        assert report["counted"] == counted.text_bytes - before


def test_a_kill_at_any_instant_leaves_what_the_next_call_finishes(
    corpus: Path, counted: Counts, tmp_path: Path
) -> None:
    generator = random.Random(2)
    for attempt in range(6):
        out = tmp_path / str(attempt)
        child = start(corpus, out)
        deadline = time.monotonic() + 60
        while not out.exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(generator.random() * 0.4)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        before = journaled_text(out)
        was_complete = (out / "manifest.json").exists()
        again = count_pretokens(corpus, out=out, part_size="1MB")
        assert again.counted_bytes == (0 if was_complete else counted.text_bytes - before)
        assert files_of(out) == files_of(counted.path)


def test_ctrl_c_keeps_finished_parts(corpus: Path, counted: Counts, tmp_path: Path) -> None:
    out = tmp_path / "counts"

    def progress(report: _core.Progress) -> None:
        if journaled_text(out) > 4_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count_pretokens(corpus, out=out, part_size=1_000_000, progress=progress, num_threads=1)
    before = journaled_text(out)
    assert before > 4_000_000
    assert sorted(files_of(out))[-1] == "journal.json"
    assert count_pretokens(corpus, out=out).counted_bytes == counted.text_bytes - before
    assert files_of(out) == files_of(counted.path)


def test_a_full_disk_is_an_os_error_and_what_was_finished_stays(corpus: Path, counted: Counts, tmp_path: Path) -> None:
    out = tmp_path / "counts"
    # The runs of parts are smaller than this, their sum is not.
    limit = counted.bytes - 10_000
    program = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n{CHILD}"
    program = f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{program}"
    command = [sys.executable, "-c", program, str(corpus), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert not (out / "counts.run").exists()
    again = count_pretokens(corpus, out=out)
    assert again.counted_bytes == 0
    assert again.resumed_parts > 5
    assert files_of(out) == files_of(counted.path)


def test_an_iterable_is_counted_and_cannot_be_gone_on_with(tmp_path: Path) -> None:
    counts = count_pretokens(iter(["to be", " or not to be"]), out=tmp_path / "counts", part_size=1)
    assert (counts.pretokens, counts.unique_pretokens, counts.documents, counts.text_bytes) == (6, 5, 2, 18)
    assert sorted(files_of(tmp_path / "counts")) == ["counts.run", "manifest.json"]
    with pytest.raises(ConfigError, match="holds counts already"):
        count_pretokens(iter(["to be", " or not to be"]), out=tmp_path / "counts")


@pytest.mark.parametrize("content", ["notes", None])
def test_a_corpus_without_text_and_a_directory_of_something_else_leave_it_as_it_was(
    content: str | None, tmp_path: Path
) -> None:
    out = tmp_path / "counts"
    if content is not None:
        out.mkdir()
        (out / "notes.txt").write_text(content)
    error, match = (ConfigError, r"\(`notes.txt`\)") if content else (DataError, "no text")
    with pytest.raises(error, match=match):
        count_pretokens(iter([""]), out=out)
    assert out.exists() == (content is not None)


def test_counts_of_machines_add_up_and_the_same_part_twice_is_warned_of(
    corpus: Path, counted: Counts, tmp_path: Path
) -> None:
    parts = [count_pretokens(path, out=tmp_path / path.stem).path for path in sorted(corpus.iterdir())]
    merged = merge_counts(reversed(parts), out=tmp_path / "merged", memory_limit="64MiB")
    assert (merged.path / "counts.run").read_bytes() == (counted.path / "counts.run").read_bytes()
    assert (merged.text_bytes, merged.documents, len(merged.corpora)) == (counted.text_bytes, 5, 5)
    with pytest.warns(SlmWarning, match="was in 2 of the counts"):
        merge_counts([parts[0], parts[1], parts[0]], out=tmp_path / "twice")
    with pytest.raises(FileNotFoundError):
        merge_counts([tmp_path / "nowhere"], out=tmp_path / "never")
    with pytest.raises(ConfigError, match="no counts were given"):
        merge_counts([], out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("memory_limit", ["64MiB", None])
def test_training_on_counts_gives_the_files_of_training_on_the_corpus(
    memory_limit: str | None, corpus: Path, counted: Counts, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"vocab_size": 2000, "memory_limit": memory_limit, "special_tokens": ["<s>", "ab", "1"]}
    train_tokenizer(corpus, out=tmp_path / "text", **settings)
    train_tokenizer(counts=counted.path, out=tmp_path / "counts", **settings)
    text, counts = files_of(tmp_path / "text"), files_of(tmp_path / "counts")
    records = [json.loads(files.pop("training.json")) for files in (text, counts)]
    assert text == counts
    for record in records:
        record["config"].pop("corpus")
        for name in ("seconds", "passes", "spilled_bytes", "spill_peak_bytes", "peak_memory_bytes"):
            record.pop(name)
    assert records[0] == records[1]


def test_several_sizes_of_one_run_are_those_of_a_run_each(counted: Counts, tmp_path: Path) -> None:
    made = train_tokenizers(counts=counted.path, vocab_sizes=[300, 257, 1000], out=tmp_path / "all")
    assert list(made) == [257, 300, 1000]
    for size, tokenizer in made.items():
        alone = train_tokenizer(counts=counted.path, vocab_size=size, out=tmp_path / "alone")
        assert tokenizer == alone == Tokenizer.load(tmp_path / "all" / str(size))
        ours, theirs = files_of(tmp_path / "all" / str(size)), files_of(tmp_path / "alone")
        records = [json.loads(files.pop("training.json")) for files in (ours, theirs)]
        assert ours == theirs
        for record in records:
            record.pop("seconds")
            record.pop("peak_memory_bytes")
        assert records[0] == records[1]
    with pytest.raises(ConfigError, match="`vocab_sizes` has 256"):
        train_tokenizers(counts=counted.path, vocab_sizes=[300, 256])
    with pytest.raises(ConfigError, match="is empty"):
        train_tokenizers(counts=counted.path, vocab_sizes=[])


def test_sizes_beyond_what_the_text_gives_are_those_of_a_run_each() -> None:
    text = "to be or not to be"
    for size, tokenizer in train_tokenizers(iter([text]), vocab_sizes=[258, 300, 400]).items():
        assert tokenizer == train_tokenizer(iter([text]), vocab_size=size)
        assert tokenizer.training is not None
        assert tokenizer.training["config"]["vocab_size"] == size


def test_settings_that_do_not_fit_are_named(counted: Counts, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split by the pattern `gpt2`, `pattern` is `cl100k`"):
        train_tokenizer(counts=counted.path, vocab_size=300, pattern="cl100k")
    with pytest.raises(ConfigError, match="both are given"):
        train_tokenizer(counted.path, counts=counted.path, vocab_size=300)
    with pytest.raises(ConfigError, match="neither is given"):
        train_tokenizer(vocab_size=300)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no finished counts"):
        train_tokenizer(counts=tmp_path / "empty", vocab_size=300)
    with pytest.raises(FileNotFoundError):
        train_tokenizer(counts=tmp_path / "nowhere", vocab_size=300)


@pytest.mark.skipif(os.name == "nt", reason="needs a signal")
def test_another_process_at_work_in_the_directory_is_told(tmp_path: Path) -> None:
    program = """
import sys, time
from slm.tokenizer import count_pretokens
def documents():
    yield "some text"
    print("working", flush=True)
    time.sleep(100)
count_pretokens(documents(), out=sys.argv[1])
"""
    command = [sys.executable, "-c", program, str(tmp_path / "counts")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"working\n"
        with pytest.raises(ConfigError, match="another process writes counts into"):
            count_pretokens(iter(["text"]), out=tmp_path / "counts")
        child.kill()
    assert count_pretokens(iter(["text"]), out=tmp_path / "counts").pretokens == 1


def test_counts_split_at_special_tokens_train_what_the_corpus_trains(tmp_path: Path) -> None:
    text = "to be<|im_end|> or<sep> not<|endoftext|>\nto <se p>be<sep>to be " * 50
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(text + name)
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    special: Any = {"special_tokens": ["<sep>", "<|endoftext|>"], "chat_tokens": "chatml", "reserved_tokens": 2}
    split: Any = {**special, "special_tokens_in_text": "split"}
    expected = train_tokenizer(paths, vocab_size=300, **split)
    assert expected != train_tokenizer(paths, vocab_size=300, **special)
    for name in ("a", "b"):
        counts = count_pretokens(tmp_path / f"{name}.txt", out=tmp_path / name, part_size=100, **split)
        assert "<|reserved_special_token_1|>" in counts.kept_out
    counts = merge_counts([tmp_path / "a", tmp_path / "b"], out=tmp_path / "sum")
    # Whether they were split is known from the counts; the special tokens themselves must be given.
    assert train_tokenizer(counts=counts.path, vocab_size=300, **special) == expected
    assert train_tokenizer(counts=counts.path, vocab_size=300, **split) == expected
    everything = count_pretokens(paths, out=tmp_path / "all", **split)
    assert (everything.path / "counts.run").read_bytes() == (counts.path / "counts.run").read_bytes()

    with pytest.raises(
        ConfigError, match=r"the special tokens `<sep>`, .* kept out of the text, training is to be with no"
    ):
        train_tokenizer(counts=counts.path, vocab_size=300, **special | {"special_tokens_in_text": "text"})
    with pytest.raises(ConfigError, match=r"`chat_tokens` and `reserved_tokens` of the tokenizer when counting too"):
        train_tokenizer(counts=counts.path, vocab_size=300, **special | {"reserved_tokens": 1})
    plain = count_pretokens(tmp_path / "a.txt", out=tmp_path / "plain", **special)
    assert plain.kept_out == ()
    with pytest.raises(ConfigError, match="hint: set `special_tokens_in_text` to `text`, or count again with"):
        train_tokenizer(counts=plain.path, vocab_size=300, **split)
    with pytest.raises(ConfigError, match="such counts do not add up"):
        merge_counts([tmp_path / "b", tmp_path / "plain"], out=tmp_path / "no")


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_counting_split_at_special_tokens_goes_on_where_it_was_broken_off(parts: int, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("to be<sep>or not <sep><sep>to be, that is the question\n" * 60_000)
    settings: Any = {"special_tokens": ["<sep>"], "special_tokens_in_text": "split", "part_size": 200_000}
    settings |= {"prefix_space": True, "num_threads": 1}
    expected = count_pretokens(corpus, out=tmp_path / "expected", **settings)

    def stop(progress: Any) -> None:
        journal = tmp_path / "counts" / "journal.json"
        if journal.exists() and json.loads(journal.read_text())["num_parts"] >= parts:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        count_pretokens(corpus, out=tmp_path / "counts", progress=stop, **settings)
    other: Any = settings | {"special_tokens": ["<other>"]}
    with pytest.raises(ConfigError):
        count_pretokens(corpus, out=tmp_path / "counts", **other)
    counts = count_pretokens(corpus, out=tmp_path / "counts", **settings)
    assert (counts.path / "counts.run").read_bytes() == (expected.path / "counts.run").read_bytes()
