"""Ids beside `tiktoken` and `tokenizers`: real vocabularies on real text, every text compared to the last id.

    python -m benches.same_ids --vocabs DIR corpus.txt corpus.jsonl.zst --megabytes 200

DIR holds `*.tiktoken` rank files named after their encoding (r50k_base, cl100k_base, o200k_base) and `*tokenizer.json`,
any of them as `.zst` too. A rank file is compared with `tiktoken`, and with `tokenizers` through the `tokenizer.json`
that it is saved as; a `tokenizer.json` with `tokenizers`. Without a DIR, a vocabulary is trained here.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benches.report import Row, emit
from slm.tokenizer import Tokenizer
from tests.reference import rank_files
from tests.reference.hostile import HOSTILE

_PATTERN_OF = {"r50k": "gpt2", "p50k": "gpt2", "gpt2": "gpt2", "cl100k": "cl100k", "o200k": "o200k"}
_BATCH_BYTES = 1 << 20
_MAX_SHOWN = 5


def main(argv: list[str] | None = None) -> None:
    """Compare; exit with 1 if any text has other ids."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", type=Path, help="text or jsonl files, .zst too")
    parser.add_argument("--vocabs", type=Path, help="directory of vocabularies")
    parser.add_argument("--megabytes", type=float, default=200, help="text of each file to compare at most")
    parser.add_argument("--smoke", action="store_true", help="a vocabulary and texts made here")
    options = parser.parse_args(argv)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in _vocabs(options.vocabs, Path(scratch)):
            rows += _compare(path, options.texts, int(options.megabytes * 1e6), Path(scratch))
    emit(rows)
    if any(row.metric == "differences" and row.value for row in rows):
        sys.exit(1)


def _vocabs(directory: Path | None, scratch: Path) -> Iterator[Path]:
    if directory is None:
        ranks = rank_files.trained(" ".join(HOSTILE) * 3 + Path(__file__).read_text(), "cl100k")
        yield rank_files.write(scratch / "cl100k_trained.tiktoken", ranks)
        return
    for path in sorted(directory.iterdir()):
        name = path.name.removesuffix(".zst")
        if name.endswith((".tiktoken", "tokenizer.json")):
            (scratch / name).write_bytes(_content(path))
            yield scratch / name


def _compare(path: Path, texts: list[Path], num_bytes: int, scratch: Path) -> list[Row]:
    rows: list[Row] = []
    started = time.perf_counter()
    ours, oracles = _open(path, scratch)
    rows.append(Row("same_ids", path.name, "slm", "load", "s", time.perf_counter() - started, 1))
    for system, encode in oracles:
        for source, batches in (
            ("hostile", iter([HOSTILE])),
            *((text.name, _batches(text, num_bytes)) for text in texts),
        ):
            compared = differences = 0
            seconds = [0.0, 0.0]
            for batch in batches:
                compared += sum(len(text.encode()) for text in batch)
                before = time.perf_counter()
                ids, offsets = ours.encode_batch(batch, num_threads=1)
                between = time.perf_counter()
                expected = encode(batch)
                seconds = [seconds[0] + between - before, seconds[1] + time.perf_counter() - between]
                for i, text in enumerate(batch):
                    found = ids[offsets[i] : offsets[i + 1]].tolist()
                    if found != expected[i]:
                        differences += 1
                        if differences <= _MAX_SHOWN:
                            print(_difference(path.name, source, text, found, expected[i], ours), file=sys.stderr)
            case = f"{path.name} {source}"
            note = f"slm {seconds[0]:.2f} s, {system} {seconds[1]:.2f} s"
            rows.append(Row("same_ids", case, f"slm/{system}", "compared", "MB", compared / 1e6, 1))
            rows.append(Row("same_ids", case, f"slm/{system}", "differences", "1", differences, 1, note=note))
    return rows


def _open(path: Path, scratch: Path) -> tuple[Tokenizer, list[tuple[str, Any]]]:
    import tokenizers

    def by_hugging_face(theirs: "tokenizers.Tokenizer") -> Any:
        theirs.encode_special_tokens = True
        encode = theirs.encode_batch_fast
        return lambda batch: [encoding.ids for encoding in encode(batch, add_special_tokens=False)]

    version = f"tokenizers {tokenizers.__version__}"
    if not path.name.endswith(".tiktoken"):
        return Tokenizer.load(path), [(version, by_hugging_face(tokenizers.Tokenizer.from_file(str(path))))]
    import tiktoken

    name = next(name for name in _PATTERN_OF if path.name.startswith(name))
    ranks = rank_files.read(path)
    special_tokens = {"<|endoftext|>": max(ranks.values()) + 2}
    regex = rank_files.PATTERNS[_PATTERN_OF[name]]
    ours = Tokenizer.from_tiktoken(path, pattern=regex, special_tokens=special_tokens)
    ours.save(scratch / f"{path.stem}-saved")
    saved = tokenizers.Tokenizer.from_file(str(scratch / f"{path.stem}-saved" / "tokenizer.json"))
    if Tokenizer.load(scratch / f"{path.stem}-saved") != ours:
        raise SystemExit(f"{path.name} is another tokenizer once saved and loaded")
    theirs = rank_files.encoding(ranks, regex, special_tokens)
    return ours, [(f"tiktoken {tiktoken.__version__}", theirs.encode_ordinary_batch), (version, by_hugging_face(saved))]


def _batches(path: Path, num_bytes: int) -> Iterator[list[str]]:
    """Documents of a file in lists of about a megabyte; a text file in pieces that end where a line does."""
    batch: list[str] = []
    size = total = 0
    for text in _documents(path):
        batch.append(text)
        size += len(text.encode())
        if size >= _BATCH_BYTES:
            yield batch
            total += size
            batch, size = [], 0
            if total >= num_bytes:
                return
    if batch:
        yield batch


def _documents(path: Path) -> Iterator[str]:
    import json

    content = _content(path).decode("utf-8", "replace")
    if ".jsonl" in path.name:
        yield from (json.loads(line)["text"] for line in content.splitlines() if line)
        return
    lines = content.splitlines(keepends=True)
    yield from ("".join(lines[at : at + 200]) for at in range(0, len(lines), 200))


def _content(path: Path) -> bytes:
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", str(path)], check=True, stdout=subprocess.PIPE).stdout
    return path.read_bytes()


def _difference(name: str, source: str, text: str, ours: list[int], theirs: list[int], tokenizer: Tokenizer) -> str:
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    around = tokenizer.decode_bytes(ours[max(at - 3, 0) : at + 5])
    where = f"{name} differs on {source} at id {at} of {text[:30]!r}…, near {around!r}"
    return f"{where}: {ours[at : at + 5]}, theirs {theirs[at : at + 5]}"


if __name__ == "__main__":
    main()
