import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slm import _core
from slm.data import export, token_files
from slm.data.build import build_shards
from slm.data.dataset import TokenDataset
from slm.data.export import EXPORT_FILE, export_shards
from slm.data.import_tokens import import_shards
from slm.data.token_files import CHUNK_TOKENS
from slm.data.verify import verify_shards
from slm.errors import ConfigError, DataError
from slm.tokenizer import train_tokenizer
from tests.reference.shards import END_OF_TEXT_ID, random_documents, write_shards
from tests.reference.token_files import read_llmc, read_megatron, read_nanogpt

TRAIN, VALIDATION = random_documents(60, seed=1), random_documents(7, seed=2)


def naive_shards(path: Path, **settings: int) -> Path:
    """Shards by the naive writer, with checksums that are right."""
    shards = write_shards(path, {"train": TRAIN, "validation": VALIDATION}, documents_per_shard=25, **settings)
    manifest = json.loads((shards / "manifest.json").read_text())
    for shard in manifest["shards"]:
        shard["tokens_xxh3"] = _core.file_checksum(shards / f"{shard['name']}.npy")
        shard["index_xxh3"] = _core.file_checksum(shards / f"{shard['name']}.index.npy")
    (shards / "manifest.json").write_text(json.dumps(manifest))
    return shards


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return naive_shards(tmp_path / "shards")


def ended(documents: list[list[int]]) -> list[list[int]]:
    return [[*ids, END_OF_TEXT_ID] for ids in documents]


def flat(documents: list[list[int]]) -> list[int]:
    return [token for ids in documents for token in ids]


@pytest.fixture(params=[7, CHUNK_TOKENS])
def chunk_tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Pieces far smaller than a document, and one for everything."""
    monkeypatch.setattr(token_files, "CHUNK_TOKENS", request.param)
    return request.param


@pytest.mark.usefixtures("chunk_tokens")
def test_nanogpt_reads_documents_each_with_its_end(shards: Path, tmp_path: Path) -> None:
    export_shards(shards, tmp_path / "out", to="nanogpt")
    assert read_nanogpt(tmp_path / "out/train.bin") == flat(ended(TRAIN))
    assert read_nanogpt(tmp_path / "out/val.bin") == flat(ended(VALIDATION))


@pytest.mark.usefixtures("chunk_tokens")
@pytest.mark.parametrize(("vocab_size", "file_tokens"), [(257, 10**8), (257, 100), (65_536, 13), (65_537, 500)])
def test_llmc_reads_documents_each_behind_its_end(vocab_size: int, file_tokens: int, tmp_path: Path) -> None:
    shards = naive_shards(tmp_path / "shards", vocab_size=vocab_size)
    export_shards(shards, tmp_path / "out", to="llmc", file_tokens=file_tokens)
    for name, documents in (("train", TRAIN), ("val", VALIDATION)):
        files = [read_llmc(path) for path in sorted((tmp_path / "out").glob(f"{name}_*.bin"))]
        assert flat(files) == [token for ids in documents for token in [END_OF_TEXT_ID, *ids]]
        lengths = [len(ids) for ids in files]
        assert max(lengths) <= file_tokens
        assert max(lengths) - min(lengths) <= 1  # a short last file would end llm.c with an assertion
    magic = np.fromfile(tmp_path / "out/train_000000.bin", np.int32, 2).tolist()
    assert magic == ([20240520, 1] if vocab_size <= 65_536 else [20240801, 7])


@pytest.mark.usefixtures("chunk_tokens")
@pytest.mark.parametrize(("vocab_size", "dtype"), [(257, np.uint16), (70_000, np.int32)])
def test_megatron_reads_a_document_a_sequence(vocab_size: int, dtype: type, tmp_path: Path) -> None:
    shards = naive_shards(tmp_path / "shards", vocab_size=vocab_size)
    export_shards(shards, tmp_path / "out", to="megatron")
    assert read_megatron(tmp_path / "out/train") == (ended(TRAIN), dtype)
    assert read_megatron(tmp_path / "out/val") == (ended(VALIDATION), dtype)


def test_the_record_says_what_was_written(shards: Path, tmp_path: Path) -> None:
    result = export_shards(shards, tmp_path / "out", to="megatron")
    written = json.loads((tmp_path / "out" / EXPORT_FILE).read_text())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [EXPORT_FILE, *(file["name"] for file in written["files"])]
    )
    for file in written["files"]:
        path = tmp_path / "out" / file["name"]
        assert (path.stat().st_size, _core.file_checksum(path)) == (file["bytes"], file["xxh3"])
    assert written["tokenizer"] == json.loads((shards / "manifest.json").read_text())["tokenizer"]
    assert json.loads(result.record.model_dump_json()) == written


def test_the_same_again_writes_nothing_and_another_is_refused(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = export_shards(shards, out, to="nanogpt")
    before = (out / "train.bin").stat()
    again = export_shards(shards, out, to="nanogpt")
    assert (first.was_complete, again.was_complete) == (False, True)
    assert (out / "train.bin").stat() == before
    with pytest.raises(ConfigError, match="exists and holds something else"):
        export_shards(shards, out, to="megatron")
    (out / "val.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="exists and holds something else"):
        export_shards(shards, out, to="nanogpt")


@pytest.mark.parametrize("kind", ["file", "directory", "shards"])
def test_what_is_there_stays(kind: str, shards: Path, tmp_path: Path) -> None:
    out = {"file": tmp_path / "file", "directory": tmp_path, "shards": shards}[kind]
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="nothing was written"):
        export_shards(shards, out, to="nanogpt")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_nanogpt_cannot_hold_more_than_65536_tokens(tmp_path: Path) -> None:
    shards = naive_shards(tmp_path / "shards", vocab_size=65_537)
    with pytest.raises(ConfigError, match=r"65537 tokens, at most 65536 fit(.|\n)*--to llmc"):
        export_shards(shards, tmp_path / "out", to="nanogpt")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["nanogpt", "llmc", "megatron"])
def test_a_flipped_bit_is_found_and_leaves_nothing(to: token_files.ExportFormat, shards: Path, tmp_path: Path) -> None:
    content = bytearray((shards / "shard-00002.npy").read_bytes())
    content[-3] ^= 1
    (shards / "shard-00002.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"shard-00002\.npy` has checksum"):
        export_shards(shards, tmp_path / "out", to=to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards"]


@pytest.mark.parametrize("to", ["nanogpt", "llmc", "megatron"])
@pytest.mark.parametrize(
    ("tokens", "message"), [([1, 300, 0], "has id 300 at token 1"), ([1, 2, 3], "ends with id 3, not with")]
)
def test_shards_that_were_wrong_from_the_start_are_refused(
    to: token_files.ExportFormat, tokens: list[int], message: str, tmp_path: Path
) -> None:
    shards = write_shards(tmp_path / "shards", {"train": [[7, 7]]})
    np.save(shards / "shard-00000.npy", np.array(tokens, np.uint16))
    manifest = json.loads((shards / "manifest.json").read_text())
    for key, name in (("tokens_xxh3", "shard-00000.npy"), ("index_xxh3", "shard-00000.index.npy")):
        manifest["shards"][0][key] = _core.file_checksum(shards / name)
    (shards / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=message):
        export_shards(shards, tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


def test_a_document_too_long_for_megatron_is_named(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MEGATRON_MAX_DOCUMENT_TOKENS", 20)
    with pytest.raises(DataError, match=r"shard-00000\.index\.npy` has a document of \d+ tokens"):
        export_shards(shards, tmp_path / "out", to="megatron")


def test_an_exception_in_progress_stops_and_leaves_nothing(shards: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def stop(progress: object) -> None:
        seen.append((progress.done, progress.total))  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_shards(shards, tmp_path / "out", to="nanogpt", progress=stop)
    assert len(seen) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards"]


def test_a_killed_export_leaves_no_directory_and_the_same_again_finishes(shards: Path, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from slm.data.export import export_shards\n"
        "export_shards(sys.argv[1], sys.argv[2], to='llmc', progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))"
    )
    command = [sys.executable, "-c", program, str(shards), str(tmp_path / "out")]
    assert subprocess.run(command, timeout=60, check=False).returncode == -9
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial").exists()
    export_shards(shards, tmp_path / "out", to="llmc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shards"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [EXPORT_FILE, "train_000000.bin", "val_000000.bin"]


def test_two_exports_to_one_place_are_refused(shards: Path, tmp_path: Path) -> None:
    def again(_: object) -> None:
        export_shards(shards, tmp_path / "out", to="nanogpt")

    with pytest.raises(ConfigError, match="another process writes"):
        export_shards(shards, tmp_path / "out", to="nanogpt", progress=again)


TEXTS = ["to be or not to be", "that is the question", "whether 'tis nobler in the mind to suffer", "x" * 500]


@pytest.mark.parametrize("to", ["nanogpt", "llmc"])
def test_shards_come_back_bit_by_bit(to: token_files.ImportFormat, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(TEXTS), vocab_size=280)
    built = build_shards(iter(TEXTS * 9), tokenizer, tmp_path / "shards", shard_tokens=100, validation_fraction=0.5)
    export_shards(tmp_path / "shards", tmp_path / "out", to=to, file_tokens=64)
    files = {name: sorted((tmp_path / "out").glob(f"{name}*.bin")) for name in ("train", "val")}
    back = import_shards(
        files["train"], tokenizer, tmp_path / "back", format=to, validation_files=files["val"], shard_tokens=100
    ).manifest
    verify_shards(tmp_path / "back")
    assert back.splits == built.splits
    # The core numbers shards of both splits as they are opened; an import writes one split after the other.
    for split in ("train", "validation"):
        there, here = ([s for s in manifest.shards if s.split == split] for manifest in (built, back))
        assert [dataclasses.astuple(_Content.of(s)) for s in here] == [
            dataclasses.astuple(_Content.of(s)) for s in there
        ]
        first, second = TokenDataset(tmp_path / "shards", split), TokenDataset(tmp_path / "back", split)
        assert [ids.tolist() for ids in first.documents()] == [ids.tolist() for ids in second.documents()]


@dataclasses.dataclass(frozen=True)
class _Content:
    """A shard but for its number."""

    tokens_xxh3: str
    index_xxh3: str
    tokens: int
    documents: int
    bytes: int

    @classmethod
    def of(cls, shard: object) -> "_Content":
        return cls(*(getattr(shard, field.name) for field in dataclasses.fields(cls)))
