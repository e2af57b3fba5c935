import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.data import token_files
from slm.data.build import build_shards
from slm.data.dataset import TokenDataset
from slm.data.import_tokens import import_shards
from slm.data.verify import verify_shards
from slm.errors import ConfigError, DataError, SlmWarning, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference.token_files import write_llmc, write_nanogpt

TOKENIZER = train_tokenizer(iter(["a tale of tales, told at length"]), vocab_size=270)
END = TOKENIZER.end_of_text_id or 0


def documents_of(shards: Path, split: str = "train") -> list[list[int]]:
    return [ids.tolist() for ids in TokenDataset(shards, split).documents()]


def split_naively(ids: list[int]) -> list[list[int]]:
    """Documents with their end: what is between ends and not empty."""
    documents: list[list[int]] = [[]]
    for token in ids:
        if token == END:
            documents.append([])
        else:
            documents[-1].append(token)
    return [[*document, END] for document in documents if document]


@given(
    files=st.lists(st.lists(st.sampled_from([END, 5, 6, 269]), min_size=1, max_size=30), min_size=1, max_size=3),
    chunk_tokens=st.integers(1, 8),
    shard_tokens=st.integers(1, 20),
    file_format=st.sampled_from(["nanogpt", "llmc"]),
)
@settings(max_examples=150)
@pytest.mark.filterwarnings("ignore::slm.errors.SlmWarning")
def test_documents_are_what_lies_between_ends(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[int]],
    chunk_tokens: int,
    shard_tokens: int,
    file_format: token_files.ImportFormat,
) -> None:
    path = tmp_path_factory.mktemp("import")
    if file_format == "llmc":
        paths = [write_llmc(path / f"{i}.bin", ids) for i, ids in enumerate(files)]
        expected = split_naively([token for ids in files for token in ids])
    else:
        paths = [path / f"{i}.bin" for i in range(len(files))]
        for file, ids in zip(paths, files, strict=True):
            np.array(ids, np.uint16).tofile(file)
        expected = [document for ids in files for document in split_naively(ids)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_files, "CHUNK_TOKENS", chunk_tokens)
        if not expected:
            with pytest.raises(DataError, match="no id but end-of-text"):
                import_shards(paths, TOKENIZER, path / "out", format=file_format)
            return
        result = import_shards(paths, TOKENIZER, path / "out", format=file_format, shard_tokens=shard_tokens)
    verify_shards(path / "out")
    assert documents_of(path / "out") == expected
    for shard in result.manifest.shards[:-1]:
        assert shard.tokens >= shard_tokens
    for shard in result.manifest.shards:
        offsets = np.load(path / "out" / shard.index_file)
        assert offsets[-2] < shard_tokens  # it was closed at the first document that reached it
    assert result.manifest.splits["train"].bytes == sum(
        len(TOKENIZER.decode_bytes(document[:-1])) for document in expected
    )


def test_both_splits_and_llama_ids(tmp_path: Path) -> None:
    train = write_llmc(tmp_path / "train.bin", [END, 5, 6, END, 7], is_llama=True)
    held_out = write_llmc(tmp_path / "val.bin", [END, 8])
    result = import_shards([train], TOKENIZER, tmp_path / "out", format="llmc", validation_files=held_out)
    assert documents_of(tmp_path / "out") == [[5, 6, END], [7, END]]
    assert documents_of(tmp_path / "out", "validation") == [[8, END]]
    assert (result.manifest.corpus.files, result.manifest.corpus.skipped) == (2, {"empty": 1 + 1})


def test_a_tokenizer_of_more_than_65536_tokens_gives_wide_ids(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_tokenizers(wide_tokenizer())
    end = tokenizer.end_of_text_id
    assert end == 65_536
    file = write_llmc(tmp_path / "train.bin", [end, 70, end, 65_535], is_llama=True)
    result = import_shards(file, tokenizer, tmp_path / "out", format="llmc")
    assert result.manifest.dtype == "uint32"
    assert documents_of(tmp_path / "out") == [[70, end], [65_535, end]]
    verify_shards(tmp_path / "out")


def wide_tokenizer() -> object:
    """A tokenizer of 65,537 tokens, made by hand: pairs of bytes, then pairs with a third."""
    import tokenizers
    from tokenizers import AddedToken, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: i for i, letter in enumerate(letters)}
    merges: list[tuple[str, str]] = []
    for left in letters:
        for right in letters[1:]:
            merges.append((left, right))
            vocab[left + right] = len(vocab)
    assert len(vocab) == 65_536
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return tokenizer


def header(*fields: int) -> bytes:
    return struct.pack(f"<{len(fields)}i", *fields).ljust(1024, b"\x00")


@pytest.mark.parametrize(
    ("file_format", "content", "message"),
    [
        ("llmc", b"", "has 0 bytes, the header"),
        ("llmc", header(20240520, 1, 1)[:-1], "has 1023 bytes, the header"),
        ("llmc", header(20240521, 1, 1) + b"\x05\x00", "begins with 20240521 version 1"),
        ("llmc", header(20240520, 7, 1) + b"\x05\x00", "begins with 20240520 version 7"),
        ("llmc", header(20240801, 1, 1) + b"\x05\x00", "begins with 20240801 version 1"),
        ("llmc", header(20240520, 1, 2) + b"\x05\x00", "has 2 bytes behind its header, which announces 2 ids"),
        ("llmc", header(20240520, 1, 1) + b"\x05\x00\x05", "has 3 bytes behind its header"),
        ("llmc", header(20240801, 7, 1) + b"\x05\x00", "announces 1 ids of 4 bytes"),
        ("llmc", header(20240520, 1, 0), "announces 0 ids"),
        ("llmc", header(20240520, 1, -1) + b"\x05\x00", "announces -1 ids"),
        ("llmc", header(20240520, 1, 3) + b"\x05\x00\x0e\x01\x05\x00", "has id 270 at token 1, the vocabulary has 270"),
        ("llmc", header(20240801, 7, 1) + b"\xff\xff\xff\xff", "has id 4294967295 at token 0"),
        ("nanogpt", b"", "has 0 bytes, a file of nanoGPT"),
        ("nanogpt", b"\x05\x00\x05", "has 3 bytes, a file of nanoGPT"),
        ("nanogpt", b"\x05\x00\xff\xff", "has id 65535 at token 1"),
        ("nanogpt", header(20240520, 1, 1) + b"\x05\x00", "begins as a file of llm.c does(.|\n)*--from llmc"),
        ("nanogpt", np.array([0, 0], np.uint16).tobytes(), "no id but end-of-text"),
    ],
)
def test_a_file_that_is_not_one_is_named_and_leaves_nothing(
    file_format: token_files.ImportFormat, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(DataError, match=message):
        import_shards(tmp_path / "x.bin", TOKENIZER, tmp_path / "out", format=file_format)
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_an_id_deep_in_the_second_file_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_files, "CHUNK_TOKENS", 10)
    first = write_nanogpt(tmp_path / "a.bin", [[5] * 100], END)
    second = write_nanogpt(tmp_path / "b.bin", [[5] * 57 + [300, 400]], END)
    with pytest.raises(DataError, match=r"b\.bin` has id 300 at token 57"):
        import_shards([first, second], TOKENIZER, tmp_path / "out", format="nanogpt")


def test_no_end_of_text_at_all_is_one_document_and_a_warning(tmp_path: Path) -> None:
    np.array([5, 6, 7], np.uint16).tofile(tmp_path / "x.bin")
    with pytest.warns(SlmWarning, match=f"x.bin` has no end-of-text id {END}"):
        import_shards(tmp_path / "x.bin", TOKENIZER, tmp_path / "out", format="nanogpt")
    assert documents_of(tmp_path / "out") == [[5, 6, 7, END]]


def test_a_file_cut_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_files, "CHUNK_TOKENS", 4)
    file = write_nanogpt(tmp_path / "x.bin", [[5] * 10_000], END)

    def cut(_: object) -> None:
        with file.open("r+b") as opened:
            opened.truncate(100)

    with pytest.raises(DataError, match=r"x\.bin` ended \d+ elements early"):
        import_shards(file, TOKENIZER, tmp_path / "out", format="nanogpt", progress=cut)
    assert not (tmp_path / "out").exists()


def test_the_same_again_writes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    file = write_nanogpt(tmp_path / "x.bin", [[5, 6], [7]], END)
    out = tmp_path / "out"

    def again(**changed: object) -> bool:
        arguments = {"format": "nanogpt", "shard_tokens": 100} | changed
        return import_shards(file, TOKENIZER, out, **arguments).was_complete  # type: ignore[arg-type]

    assert not again()
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert again()
    for changed in ({"shard_tokens": 2}, {"validation_files": [file]}):
        with pytest.raises(ConfigError, match="exists and holds something else"):
            again(**changed)
    write_nanogpt(file, [[5, 6], [8]], END)
    with pytest.raises(ConfigError, match="exists and holds something else"):
        again()
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_built_shards_are_not_taken_for_imported_ones(tmp_path: Path) -> None:
    build_shards(iter(["tale"]), TOKENIZER, tmp_path / "out")
    before = (tmp_path / "out/manifest.json").read_bytes()
    file = write_nanogpt(tmp_path / "x.bin", [[5]], END)
    with pytest.raises(ConfigError, match="exists and holds something else"):
        import_shards(file, TOKENIZER, tmp_path / "out", format="nanogpt")
    assert (tmp_path / "out/manifest.json").read_bytes() == before
    # Nor does a build take imported ones for its own.
    import_shards(file, TOKENIZER, tmp_path / "imported", format="nanogpt")
    with pytest.raises(ConfigError, match="imported"):
        build_shards(iter(["tale"]), TOKENIZER, tmp_path / "imported")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: import_shards([], TOKENIZER, path / "out", format="nanogpt"), "no file to import"),
        (lambda path: import_shards([path], TOKENIZER, path / "out", format="megatron"), "`megatron` is not"),
        (
            lambda path: import_shards([path], TOKENIZER, path / "out", format="llmc", shard_tokens=0),
            "`shard_tokens` is 0",
        ),
    ],
)
def test_wrong_arguments_are_config_errors(call: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        call(tmp_path)


def test_a_tokenizer_without_end_of_text_is_refused(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(["x"]), vocab_size=256, special_tokens=[])
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        import_shards(write_nanogpt(tmp_path / "x.bin", [[5]], END), tokenizer, tmp_path / "out", format="nanogpt")


def test_the_manifest_is_read_by_the_core_and_lists_what_was_read(tmp_path: Path) -> None:
    file = write_nanogpt(tmp_path / "x.bin", [[5, 6], [], [7]], END)
    manifest = import_shards(file, TOKENIZER, tmp_path / "out", format="nanogpt").manifest
    written = json.loads((tmp_path / "out/manifest.json").read_text())
    assert written == json.loads(manifest.model_dump_json())
    assert (manifest.corpus.files, manifest.corpus.documents, manifest.corpus.skipped) == (1, 2, {"empty": 1})
    assert manifest.created_by.endswith("imported from nanogpt")
