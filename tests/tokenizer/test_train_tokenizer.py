import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm import _core
from slm.errors import ConfigError, DataError
from slm.tokenizer import train_tokenizer
from tests.reference import agreement, hugging_face, random_corpora

POLICIES: tuple[Literal["skip", "replace"], ...] = ("skip", "replace")


def assert_equal_to_hugging_face(documents: list[str], **settings: Any) -> None:
    ours = hugging_face.model_of(train_tokenizer(iter(documents), **settings).core.to_json())
    theirs = hugging_face.model_of(hugging_face.train(documents, **settings).to_str())
    assert ours == theirs


@pytest.mark.parametrize("pattern", [*hugging_face.PATTERNS, "llama3"])
def test_documents_give_the_merges_and_ids_of_hugging_face(pattern: str, python_files: list[Path]) -> None:
    documents = [path.read_text() for path in python_files]
    assert_equal_to_hugging_face(documents, vocab_size=4000, pattern=pattern)


@pytest.mark.parametrize("pattern", [*hugging_face.PATTERNS, "llama3"])
def test_lines_of_files_give_the_merges_and_ids_of_hugging_face(pattern: str, python_files: list[Path]) -> None:
    settings: dict[str, Any] = {"vocab_size": 4000, "pattern": pattern}
    ours = train_tokenizer(list(python_files), documents="line", **settings)
    theirs = hugging_face.train(files=python_files, **settings)
    assert hugging_face.model_of(ours.core.to_json()) == hugging_face.model_of(theirs.to_str())


@pytest.mark.parametrize("seed", range(600))
def test_small_random_corpora_give_the_merges_and_ids_of_hugging_face_and_of_a_naive_twin(
    seed: int, tmp_path: Path
) -> None:
    # `make fuzz` goes on with many more seeds.
    assert agreement.compare(random_corpora.case(seed), tmp_path).differences == []


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_the_tokenizer_does_not_depend_on_threads(num_threads: int, python_files: list[Path]) -> None:
    paths = list(python_files)
    expected = train_tokenizer(paths, vocab_size=1000, num_threads=3).core.to_json()
    assert train_tokenizer(paths, vocab_size=1000, num_threads=num_threads).core.to_json() == expected


def test_progress_is_told_and_the_record_says_what_was_read(python_files: list[Path], tmp_path: Path) -> None:
    reports: list[_core.Progress] = []
    tokenizer = train_tokenizer(list(python_files), vocab_size=500, progress=reports.append, out=tmp_path / "tok")
    assert reports
    assert reports[-1].done == reports[-1].total
    record = tokenizer.training
    assert record is not None
    assert record["corpus"]["bytes"] == sum(path.stat().st_size for path in python_files)
    assert record["corpus"]["documents"] == len(python_files)
    assert record["config"]["corpus"]["paths"] == [str(path) for path in python_files]
    assert (tmp_path / "tok" / "training.json").exists()


def test_an_exception_of_the_iterable_is_the_one_that_is_raised() -> None:
    def documents() -> Iterator[str]:
        yield "some text"
        raise LookupError("the source broke")

    with pytest.raises(LookupError, match="the source broke"):
        train_tokenizer(documents(), vocab_size=300)


def test_an_exception_of_the_progress_callback_stops_the_training(python_files: list[Path]) -> None:
    def progress(_: _core.Progress) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        train_tokenizer(list(python_files), vocab_size=500, progress=progress)


@pytest.mark.parametrize(
    ("documents", "message"),
    [([bytearray(b"x")], "document 0 of the iterable is bytearray"), (["ok", 3], "document 1 of the iterable is int")],
)
def test_documents_must_be_text(documents: list[Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        train_tokenizer(iter(documents), vocab_size=300)


def corpus_record(documents: list[str | bytes], **settings: Any) -> dict[str, Any]:
    """What the record of a training says of its corpus."""
    training = train_tokenizer(iter(documents), vocab_size=300, **settings).training
    assert training is not None
    return training["corpus"]


def test_documents_may_be_bytes_and_text_in_turn() -> None:
    mixed = corpus_record(["one é", b"two", "three", "four 語".encode()])
    assert mixed == corpus_record(["one é", "two", "three", "four 語"])


def test_documents_of_an_iterable_that_are_not_utf8_follow_the_policy() -> None:
    documents: list[str | bytes] = ["fine", "ab\ud800\udc00c", b"caf\xe9!", "\udfff", b""]
    with pytest.raises(DataError, match="document 1 of the iterable has a lone surrogate at index 2"):
        corpus_record(documents)
    with pytest.raises(DataError, match="document 0 of the iterable is not UTF-8: byte 0xE9 at offset 3 "):
        corpus_record(documents[2:])
    skipped = corpus_record(documents, invalid_utf8="skip")
    assert skipped["skipped"] == {"empty": 1, "invalid_utf8": 1, "lone_surrogate": 2, "null": 0}
    assert skipped["fingerprint"] == corpus_record(["fine"])["fingerprint"]
    replaced = corpus_record(documents, invalid_utf8="replace")
    assert replaced["replaced_sequences"] == 4
    expected = ["fine", "ab\ufffd\ufffdc", "caf\ufffd!", "\ufffd"]
    assert replaced["fingerprint"] == corpus_record([*expected])["fingerprint"]


def test_surrogates_and_nulls_of_json_lines_are_named_or_counted(tmp_path: Path) -> None:
    texts = ["one", None, "t\ud800wo", "\U0001f600"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with pytest.raises(DataError, match=r"a\.jsonl`:3: field `text` has the lone surrogate `\\ud800`"):
        train_tokenizer(tmp_path, vocab_size=300)
    records = {policy: train_tokenizer(tmp_path, vocab_size=300, invalid_utf8=policy).training for policy in POLICIES}
    skipped, replaced = (record["corpus"] for record in records.values() if record is not None)
    assert skipped["skipped"] == {"empty": 0, "invalid_utf8": 0, "lone_surrogate": 1, "null": 1}
    assert replaced["skipped"] == {"empty": 0, "invalid_utf8": 0, "lone_surrogate": 0, "null": 1}
    assert replaced["replaced_sequences"] == 1
    assert replaced["fingerprint"] == corpus_record(["one", "t\ufffdwo", "\U0001f600"])["fingerprint"]


@pytest.mark.parametrize("setting", [{"documents": "line"}, {"field": "body"}, {"format": "jsonl"}])
def test_settings_of_files_are_refused_for_an_iterable(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"`{next(iter(setting))}` is .* but the corpus is an iterable"):
        train_tokenizer(iter(["text"]), vocab_size=300, **setting)


def test_tokens_have_at_most_max_token_bytes(python_files: list[Path]) -> None:
    for longest in (1, 2, 5):
        tokenizer = train_tokenizer(list(python_files), vocab_size=600, max_token_bytes=longest)
        assert max(tokenizer.token_lengths()) == longest
        assert tokenizer.vocab_size == (257 if longest == 1 else 600)


def test_an_iterable_without_text_is_an_error() -> None:
    with pytest.raises(DataError):
        train_tokenizer(iter(["", ""]), vocab_size=300)


def test_a_list_of_documents_is_taken_for_paths_and_the_note_says_so() -> None:
    with pytest.raises(FileNotFoundError) as raised:
        train_tokenizer(["once upon a time"], vocab_size=300)
    assert "iter(documents)" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"vocab_size": 200}, "vocab_size"),
        ({"vocab_size": 300, "pattern": "gpt5"}, "gpt5"),
        ({"vocab_size": 300, "documents": "page"}, "documents"),
        ({"vocab_size": 300, "format": "xml"}, "format"),
        ({"vocab_size": 300, "separator": "x"}, "separator"),
        ({"vocab_size": 300, "invalid_utf8": "ignore"}, "invalid_utf8"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], name: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text")
    with pytest.raises(ConfigError, match=name):
        train_tokenizer(tmp_path, **settings)


NEARLY_UTF8 = st.lists(
    st.one_of(
        st.binary(max_size=4),
        st.text(max_size=4).map(str.encode),
        st.tuples(st.characters(), st.integers(0, 3)).map(lambda part: part[0].encode()[: part[1]]),
        st.sampled_from([b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xc0\xaf", b"\xf0\x9f\x98"]),
    ),
    max_size=30,
).map(b"".join)


@given(content=NEARLY_UTF8)
def test_bytes_that_are_not_utf8_are_replaced_as_python_does(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "nearly-utf8.txt"
    path.write_bytes(b"x" + content)
    text = path.read_bytes().decode(errors="replace")
    replaced = train_tokenizer(path, vocab_size=300, invalid_utf8="replace").training
    expected = train_tokenizer(iter([text]), vocab_size=300).training
    assert replaced is not None
    assert expected is not None
    assert replaced["corpus"]["fingerprint"] == expected["corpus"]["fingerprint"]
    assert (replaced["corpus"]["replaced_sequences"] == 0) == (text.encode() == path.read_bytes())


def test_lines_that_are_not_utf8_are_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntw\xffo\nthree\n")
    with pytest.raises(DataError, match=r"a\.txt` is not UTF-8: byte 0xFF at offset 6 "):
        train_tokenizer(tmp_path, vocab_size=300, documents="line")
    record = train_tokenizer(tmp_path, vocab_size=300, documents="line", invalid_utf8="skip").training
    assert record is not None
    assert record["corpus"]["skipped"] == {"empty": 0, "invalid_utf8": 1, "lone_surrogate": 0, "null": 0}
    assert record["corpus"]["documents"] == 2
    assert record["config"]["corpus"]["invalid_utf8"] == "skip"


def test_archives_and_lists_of_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"one\n") + lzma.compress(b"two\n"))
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'a.xz'}\n")
    tokenizer = train_tokenizer(f"@{tmp_path / 'list.txt'}", vocab_size=300, documents="line")
    assert tokenizer.training is not None
    assert tokenizer.training["corpus"]["documents"] == 2
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"one\n" * 1000)[:-20])
    with pytest.raises(DataError, match=r"a\.xz` is truncated: its xz stream ends early, after \d+ bytes"):
        train_tokenizer(tmp_path / "a.xz", vocab_size=300)
