import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from slm.errors import TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import hugging_face
from tests.reference.hostile import HOSTILE


@pytest.fixture
def directory(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    tokenizer.save(tmp_path / "tok")
    return tmp_path / "tok"


@pytest.fixture
def small() -> dict[str, Any]:
    """A `tokenizer.json` to damage."""
    return json.loads(train_tokenizer(iter(["to be or not to be"]), vocab_size=262).core.to_json())


def load_json(content: object, tmp_path: Path) -> Tokenizer:
    path = tmp_path / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Tokenizer.load(path)


def test_the_directory_has_every_artifact_and_comes_back(directory: Path, tokenizer: Tokenizer) -> None:
    assert sorted(path.name for path in directory.iterdir()) == [
        "merge_counts.txt",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
        "vocab.json",
    ]
    again = Tokenizer.load(directory)
    assert again == tokenizer
    assert again.training == tokenizer.training
    assert again.end_of_text_id == tokenizer.end_of_text_id


def test_tokenizer_json_is_byte_for_byte_what_hugging_face_writes(directory: Path) -> None:
    path = directory / "tokenizer.json"
    assert tokenizers.Tokenizer.from_file(str(path)).to_str(pretty=True) == path.read_text()


def test_vocab_and_merges_load_as_a_bpe_model(directory: Path, tokenizer: Tokenizer) -> None:
    model = tokenizers.models.BPE.from_file(str(directory / "vocab.json"), str(directory / "merges.txt"))
    theirs = hugging_face.untrained(tokenizer.pattern)
    theirs.model = model
    text = "def main():\n    return 日本\n"
    assert theirs.encode(text, add_special_tokens=False).ids == tokenizer.encode(text).tolist()


@pytest.mark.parametrize("text", [*HOSTILE, "def main(argv):\n    return 'don''t'  # <|end|> here\n"])
def test_transformers_loads_the_directory_and_gives_the_same_ids(
    text: str, directory: Path, tokenizer: Tokenizer
) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(directory)
    assert len(theirs) == tokenizer.vocab_size
    assert theirs.eos_token_id == theirs.pad_token_id == theirs.bos_token_id == tokenizer.end_of_text_id
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text, parse_special=True).tolist()
    split = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert split == tokenizer.encode(text).tolist()
    assert theirs.decode(theirs(text)["input_ids"]) == text


def test_ids_of_a_foreign_file_are_those_of_hugging_face(python_files: list[Path], tmp_path: Path) -> None:
    foreign = hugging_face.train(
        [path.read_text() for path in python_files[:3]], vocab_size=800, special_tokens=["<s>"]
    )
    # A special token outside the model's vocabulary, a token that no merge makes, and the old way to write merges.
    foreign.add_special_tokens(["<|new|>"])
    parsed = json.loads(foreign.to_str())
    parsed["model"]["merges"] = [" ".join(merge) for merge in parsed["model"]["merges"]]
    del parsed["model"]["type"]
    for ignore_merges in (False, True):
        lonely = parsed | {"model": parsed["model"] | {"ignore_merges": ignore_merges}}
        lonely["model"]["vocab"] = dict(parsed["model"]["vocab"], Ġxyzzy=800)
        lonely["added_tokens"] = [
            dict(token, id={800: 801}.get(token["id"], token["id"])) for token in parsed["added_tokens"]
        ]
        ours = load_json(lonely, tmp_path)
        theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        assert ours.vocab_size == theirs.get_vocab_size() == 802
        assert ours.unreachable_tokens().tolist() == ([] if ignore_merges else [800])
        for text in ["say xyzzy <|new|><s> now", python_files[4].read_text()]:
            assert ours.encode(text).tolist() == hugging_face.encode(theirs, text)
            parsed_ids = ours.encode(text, parse_special=True).tolist()
            assert parsed_ids == hugging_face.encode(theirs, text, parse_special=True)
        ours.save(tmp_path / "again")
        assert Tokenizer.load(tmp_path / "again").fingerprint == ours.fingerprint


def edit(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit("version", to="2.0"), "version `2.0` is unknown"),
        (edit("normalizer", to={"type": "NFKC"}), "normalizer `NFKC` is not supported"),
        (edit("decoder", to=None), "there is no decoder"),
        (edit("decoder", to={"type": "WordPiece"}), "decoder `WordPiece`"),
        (edit("pre_tokenizer", to=None), "there is no pre-tokenizer"),
        (edit("pre_tokenizer", to={"type": "Whitespace"}), "pre-tokenizer `Whitespace`"),
        (edit("pre_tokenizer", "use_regex", to=False), "use_regex"),
        (
            edit(
                "pre_tokenizer",
                to={
                    "type": "Sequence",
                    "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": r"\b\w+"}, "behavior": "Isolated", "invert": False},
                        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                    ],
                },
            ),
            r"at character 0, `\\b` looks at the text before",
        ),
        (edit("model", "type", to="WordLevel"), "model `WordLevel`"),
        (edit("model", "dropout", to=0.1), "dropout"),
        (edit("model", "byte_fallback", to=True), "byte_fallback"),
        (edit("model", "end_of_word_suffix", to="</w>"), "end_of_word_suffix"),
        (edit("model", "vocab", "qq", to=5), "both have id 5"),
        (edit("model", "vocab", "qq", to=4_000_000_000), "`qq` has id 4000000000"),
        (edit("model", "vocab", "qq", to=-1), "invalid value"),
        (edit("model", "vocab", "a b", to=262), "characters that are not of the byte-level alphabet"),
        (edit("model", "merges", 0, to=["q", "zz"]), "merge 0 .* needs token `zz`"),
        (edit("model", "merges", 0, to=["z", "z"]), "needs token `zz`, which is not in the vocabulary"),
        (edit("model", "merges", 0, to=["t"]), "two tokens"),
        (edit("model", "merges", 0, to="t o o"), "not two tokens with one space"),
        (edit("model", "merges", to=None), "no `merges`"),
        (edit("model", "vocab", to=[1]), "an object from tokens to ids"),
        (edit("added_tokens", 0, "id", to=7), "has id 7 and the vocabulary gives it 0"),
        (edit("added_tokens", 0, "lstrip", to=True), "lstrip"),
        (edit("added_tokens", 0, "special", to=False), "special: true"),
    ],
)
def test_what_is_malformed_or_not_supported_is_named(
    change: Callable[[dict[str, Any]], None], message: str, small: dict[str, Any], tmp_path: Path
) -> None:
    change(small)
    with pytest.raises(TokenizerError, match=message) as raised:
        load_json(small, tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "EOF"),
        ("[]", "invalid"),
        ("[" * 100_000, "invalid type"),
        ('{"version": "1.0"', "EOF"),
        ('{"post_processor": ' + "[" * 100_000, "recursion limit"),
        ('{"model": ' * 100_000, "recursion limit|invalid type|EOF"),
        ('{"model": {"vocab": {"a": 0, "a": 1}, "merges": []}}', "token `a` comes twice"),
        ('{"model": {"vocab": {"a": 0}, "vocab": {"b": 1}}}', "duplicate field `vocab`"),
        ('{"model": {"vocab": {"a": 0}, "merges": []}}', "decoder"),
        ('{"model": {"vocab": {"a": 0}, "merges": {}}}', "a list of merges"),
        ('{"version": "1.0", "version": "1.0"}', "duplicate field `version`"),
    ],
)
def test_what_is_not_a_tokenizer_at_all_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=message):
        load_json(content, tmp_path)


def test_a_token_that_comes_twice_is_refused(small: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(small).replace('"vocab": {', '"vocab": {"q": 80, ', 1)
    with pytest.raises(TokenizerError, match="token `q` comes twice"):
        load_json(text, tmp_path)


def test_added_tokens_that_hugging_face_would_number_otherwise_are_refused(
    small: dict[str, Any], tmp_path: Path
) -> None:
    outside = dict(small["added_tokens"][0], content="<|outside|>")
    small["model"]["vocab"]["gap"] = 300
    num_tokens = len(small["model"]["vocab"])
    for token_id, message in [(num_tokens, None), (num_tokens + 1, f"which gives it {num_tokens}"), (301, "gives it")]:
        changed = small | {"added_tokens": [*small["added_tokens"], dict(outside, id=token_id)]}
        if message is None:
            ours = load_json(changed, tmp_path)
            theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
            assert ours.special_tokens["<|outside|>"] == theirs.token_to_id("<|outside|>") == token_id
            assert ours.vocab_size == 301
            assert ours.unused_ids().tolist() == [num_tokens - 1, *range(num_tokens + 1, 300)]
        else:
            with pytest.raises(TokenizerError, match=message):
                load_json(changed, tmp_path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(10 << 30)
    started = time.monotonic()
    with pytest.raises(TokenizerError, match="larger than the 64 MiB"):
        Tokenizer.load(path)
    assert time.monotonic() - started < 5


def test_an_end_of_text_token_that_is_none_is_named(directory: Path) -> None:
    (directory / "tokenizer_config.json").write_text('{"eos_token": "<|other|>"}')
    with pytest.raises(TokenizerError, match=r"`<\|other\|>` is not one of the special tokens"):
        Tokenizer.load(directory)


def test_a_missing_tokenizer_is_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError) as raised:
            Tokenizer.load(path)
        assert str(tmp_path) in str(raised.value)


def test_saving_again_replaces_the_tokenizer_and_leaves_other_files(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(b"weights")
    other = train_tokenizer(iter(["other text"]), vocab_size=260)
    other.save(directory)
    assert Tokenizer.load(directory) == other
    assert (directory / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_directory_that_cannot_be_written_keeps_its_tokenizer(directory: Path, tokenizer: Tokenizer) -> None:
    directory.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            train_tokenizer(iter(["other"]), vocab_size=260).save(directory)
    finally:
        directory.chmod(0o700)
    assert Tokenizer.load(directory) == tokenizer


def test_the_fingerprint_is_of_what_encodes(small: dict[str, Any], tmp_path: Path) -> None:
    original = load_json(small, tmp_path).fingerprint
    # Where a file is kept and how it lists its added tokens says nothing.
    small["post_processor"] = {"type": "ByteLevel", "trim_offsets": True, "add_prefix_space": False, "use_regex": True}
    assert load_json(small, tmp_path).fingerprint == original
    small["model"]["merges"].pop()
    assert load_json(small, tmp_path).fingerprint != original
