import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slm import _core
from slm.data.build import build_shards
from slm.data.inspect import inspect_splits, read_documents
from slm.data.manifest import Manifest
from slm.data.verify import verify_shards
from slm.errors import DataError, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["to be or not to be", "that is the question", "whether 'tis nobler in the mind to suffer"]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    tokenizer = train_tokenizer(iter(TEXTS), vocab_size=280)
    build_shards(iter(TEXTS), tokenizer, tmp_path / "shards", shard_tokens=10)
    return tmp_path / "shards"


def damage(shards: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = shards / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_right_directory_verifies(shards: Path) -> None:
    result = verify_shards(shards)
    assert result.files == 2 * len(Manifest.load(shards).shards) == 4
    assert result.bytes == sum(path.stat().st_size for path in shards.glob("*.npy"))


@pytest.mark.parametrize("name", ["shard-00000.npy", "shard-00001.npy", "shard-00001.index.npy"])
@pytest.mark.parametrize("position", [20, 4096, -1])
def test_a_flipped_bit_is_found_and_named(name: str, position: int, shards: Path) -> None:
    content = bytearray((shards / name).read_bytes())
    content[position] ^= 1
    (shards / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}` (has changed in its bytes|does not begin)"):
        verify_shards(shards)


def test_the_range_that_has_changed_is_named(tmp_path: Path) -> None:
    # Files of several blocks, of which one has a flipped bit in its middle.
    tokenizer = train_tokenizer(iter(TEXTS), vocab_size=280)
    generator = np.random.default_rng(0)
    document = bytes(generator.integers(32, 127, size=5_500_000, dtype=np.uint8)).decode()
    manifest = build_shards(iter([document, *TEXTS]), tokenizer, tmp_path / "shards")
    path = tmp_path / "shards" / "shard-00000.npy"
    content = path.read_bytes()
    assert len(content) > 10_000_000
    assert len(manifest.shards[0].tokens_blocks_xxh3) == 16 * 3
    for position, first, last in (
        (30, 0, 4095),
        (4096, 4096, (4 << 20) - 1),
        (5 << 20, 4 << 20, (8 << 20) - 1),
        (-1, 8 << 20, len(content) - 1),
    ):
        damaged = bytearray(content)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"`{path}` has changed in its bytes {first} to {last}:"):
            verify_shards(tmp_path / "shards")
    path.write_bytes(content)
    verify_shards(tmp_path / "shards")
    # Shards of before there were checksums of blocks.
    damage(tmp_path / "shards", set_in("shards", 0, "tokens_blocks_xxh3", to=""))
    verify_shards(tmp_path / "shards")
    path.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(DataError, match=rf"has changed in its bytes 0 to {len(content) - 1}:"):
        verify_shards(tmp_path / "shards")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content[:-2], "bytes 4140 to 4141 are missing"),
        (lambda content: content + b"ab", "bytes 4142 to 4143 are too many"),
        (lambda content: content[:6], "bytes 6 to 4141 are missing"),
        (lambda content: b"PICKLE" + content[6:], "bytes 0 to 9 are wrong"),
        (lambda content: content[:8] + b"\xff\xff" + content[10:], "bytes 0 to 9 are wrong"),
    ],
)
def test_a_file_of_another_shape_is_named_with_the_bytes(
    change: Callable[[bytes], bytes], problem: str, shards: Path
) -> None:
    path = shards / "shard-00000.npy"
    content = path.read_bytes()[:4142].ljust(4142, b"\0")
    damage(shards, set_in("shards", 0, "tokens", to=23))
    damage(
        shards, lambda manifest: manifest["splits"]["train"].update(tokens=sum(s["tokens"] for s in manifest["shards"]))
    )
    path.write_bytes(change(content))
    with pytest.raises(DataError, match=problem) as raised:
        verify_shards(shards)
    assert str(path) in str(raised.value)
    assert "hint: copy it again" in str(raised.value)


def test_files_that_are_missing_or_not_named_are_found(shards: Path) -> None:
    (shards / "shard-00007.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"shard-00007\.npy` is not named in the manifest"):
        verify_shards(shards)
    (shards / "shard-00007.npy").unlink()
    (shards / "notes.txt").write_text("of somebody")
    verify_shards(shards)
    (shards / "shard-00001.npy").unlink()
    with pytest.raises(DataError, match=r"shard-00001\.npy` is missing"):
        verify_shards(shards)


def test_a_link_out_of_the_directory_is_refused(shards: Path, tmp_path: Path) -> None:
    path = shards / "shard-00001.npy"
    elsewhere = path.rename(tmp_path / "elsewhere.npy")
    path.symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"shard-00001\.npy` is a link to .*outside of the directory"):
        Manifest.load(shards)
    path.unlink()
    elsewhere.rename(path)
    (tmp_path / "link").symlink_to(shards)
    verify_shards(tmp_path / "link")


def test_ids_that_contradict_the_manifest_are_found(shards: Path) -> None:
    path = shards / "shard-00000.npy"
    content = path.read_bytes()
    for change, message in (
        (lambda ids: ids.__setitem__(3, 280), r"size of the vocabulary, at bytes 4102 to 4103"),
        (lambda ids: ids.__setitem__(-1, 5), r"end-of-text id at the end of a document, at bytes \d+ to \d+"),
    ):
        path.write_bytes(content)
        ids = np.load(path, mmap_mode="r+")
        change(ids)
        ids.flush()
        damage(shards, set_in("shards", 0, "tokens_xxh3", to=_core.file_checksum(path)))
        damage(shards, set_in("shards", 0, "tokens_blocks_xxh3", to=""))
        with pytest.raises(DataError, match=message):
            verify_shards(shards)


@pytest.mark.parametrize(
    "change", [lambda content: content[:-2], lambda content: content + bytes(20_000), lambda _: b""]
)
def test_a_file_of_another_size_is_refused_at_once(change: Callable[[bytes], bytes], shards: Path) -> None:
    path = shards / "shard-00001.npy"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"shard-00001\.npy` has \d+ bytes"):
        Manifest.load(shards)


def test_a_missing_shard_is_a_missing_file(shards: Path) -> None:
    (shards / "shard-00000.index.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-00000\.index\.npy"):
        Manifest.load(shards)


def set_in(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("format", to="other"), "`format`"),
        (set_in("version", to=2), "`version`"),
        (set_in("dtype", to="object"), "`dtype`"),
        (set_in("shards", 0, "name", to="../shard-00000"), "`shards.0.name`"),
        (set_in("shards", 0, "name", to="/etc/shard-00000"), "`shards.0.name`"),
        (set_in("shards", 1, "name", to="shard-00000"), "listed twice"),
        (set_in("shards", 0, "tokens", to=-1), "`shards.0.tokens`"),
        (set_in("shards", 0, "tokens", to=99), "its total says otherwise"),
        (set_in("shards", 0, "split", to="test"), "`shards.0.split`"),
        (set_in("shards", 0, "tokens_xxh3", to="XYZ"), "`shards.0.tokens_xxh3`"),
        (set_in("shards", 0, "url", to="http://"), "`shards.0.url`"),
        (set_in("tokenizer", "end_of_text_id", to=280), "end-of-text id is not in the vocabulary"),
        (set_in("tokenizer", "vocab_size", to=100_000), "do not fit in uint16"),
        (set_in("splits", "train", "documents", to=7), "its total says otherwise"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_its_place(
    change: Callable[[dict[str, Any]], None], message: str, shards: Path
) -> None:
    damage(shards, change)
    with pytest.raises(DataError, match=message) as raised:
        Manifest.load(shards)
    assert str(shards / "manifest.json") in str(raised.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a":' * 100_000])
def test_a_manifest_that_is_no_manifest_is_refused(content: str, shards: Path) -> None:
    (shards / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="is not a manifest"):
        Manifest.load(shards)


def test_arrays_that_contradict_the_manifest_are_found(shards: Path) -> None:
    # A writer that was wrong from the start, checksums and all.
    path = shards / "shard-00000.index.npy"
    offsets = np.load(path)
    np.save(path, offsets[::-1].copy())
    damage(shards, set_in("shards", 0, "index_xxh3", to=_core.file_checksum(path)))
    damage(shards, set_in("shards", 0, "index_blocks_xxh3", to=""))
    with pytest.raises(DataError, match="offset"):
        verify_shards(shards)


def test_the_tokenizer_of_the_shards_is_required(shards: Path) -> None:
    manifest = Manifest.load(shards)
    manifest.require_tokenizer(Tokenizer.load(shards / "tokenizer").fingerprint)
    other = train_tokenizer(iter(["other"]), vocab_size=260)
    with pytest.raises(TokenizerError, match=other.fingerprint):
        manifest.require_tokenizer(other.fingerprint)
    other.save(shards / "tokenizer")
    with pytest.raises(TokenizerError, match=manifest.tokenizer_fingerprint):
        verify_shards(shards)


def test_splits_and_documents_can_be_looked_at(shards: Path) -> None:
    train, validation = inspect_splits(shards)
    assert (train.documents, validation.documents, train.shards) == (3, 0, 2)
    assert train.bytes == sum(map(len, TEXTS))
    assert sum(length.documents for length in train.lengths) == 3
    assert train.shortest <= train.median <= train.longest
    assert all(length.at_least <= train.longest for length in train.lengths)
    documents = list(read_documents(shards, "train", count=10))
    assert [b"".join(document.tokens).decode() for document in documents] == TEXTS
    assert sum(document.num_tokens for document in documents) == train.tokens
    assert len(list(read_documents(shards, "train", count=1))) == 1
