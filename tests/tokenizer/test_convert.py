import pickle
import sys
from pathlib import Path

import pytest
import tokenizers

from slm.errors import MissingPackageError, SlmError, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import hugging_face
from tests.reference.hostile import HOSTILE


def test_the_tokenizer_of_hugging_face_gives_the_same_ids(tokenizer: Tokenizer) -> None:
    theirs = tokenizer.to_tokenizers()
    assert isinstance(theirs, tokenizers.Tokenizer)
    for text in HOSTILE:
        assert hugging_face.encode(theirs, text) == tokenizer.encode(text).tolist()
        assert (
            hugging_face.encode(theirs, text, parse_special=True) == tokenizer.encode(text, parse_special=True).tolist()
        )
        assert theirs.decode(tokenizer.encode(text).tolist(), skip_special_tokens=False) == text


def test_the_tokenizer_of_transformers_is_the_one_that_the_saved_directory_gives(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    made = tokenizer.to_transformers()
    tokenizer.save(tmp_path / "tok")
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "tok")
    assert type(made) is type(loaded)
    assert len(made) == len(loaded) == tokenizer.vocab_size
    assert made.special_tokens_map == loaded.special_tokens_map
    assert made.chat_template == loaded.chat_template
    assert made.model_max_length == loaded.model_max_length
    assert made.eos_token_id == tokenizer.end_of_text_id
    for text in HOSTILE:
        expected = tokenizer.encode(text, parse_special=True).tolist()
        assert made(text, add_special_tokens=False)["input_ids"] == expected
        assert loaded(text, add_special_tokens=False)["input_ids"] == expected
        assert made.decode(made(text)["input_ids"]) == text


def test_there_and_back_is_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    assert Tokenizer.from_tokenizers(tokenizer.to_tokenizers()) == tokenizer
    with pytest.raises(TokenizerError, match="model of the tokenizer is Unigram"):
        Tokenizer.from_tokenizers(tokenizers.Tokenizer(tokenizers.models.Unigram()))


@pytest.mark.parametrize("package", ["tokenizers", "transformers"])
def test_a_package_that_is_missing_is_named_with_the_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = train_tokenizer(iter(["to be"]), vocab_size=257)
    # What Python itself does with a name that is known not to be there.
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingPackageError, match=rf"`{package}` is not installed\n\nhint: pip install 'slm-foundry\[hf\]'"
    ):
        getattr(tokenizer, f"to_{package}")()
    assert issubclass(MissingPackageError, SlmError)
    assert issubclass(MissingPackageError, ImportError)


def test_merge_counts_fall_and_go_with_the_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    counts = tokenizer.merge_counts()
    assert len(counts) == len(tokenizer.merges())
    assert (counts[:-1] >= counts[1:]).all()
    assert counts[-1] > 0
    tokenizer.save(tmp_path / "tok")
    for again in (Tokenizer.load(tmp_path / "tok"), pickle.loads(pickle.dumps(tokenizer))):
        assert again.merge_counts().tolist() == counts.tolist()
    assert Tokenizer.load(tmp_path / "tok" / "tokenizer.json").merge_counts().tolist() == []


def test_merge_counts_are_how_often_the_pair_occurred(tmp_path: Path) -> None:
    # `ab` 4 times, then `abab` twice.
    tokenizer = train_tokenizer(iter(["abab abab"]), vocab_size=259)
    assert tokenizer.merge_counts().tolist() == [4, 2]
    tokenizer.save(tmp_path)
    assert (tmp_path / "merge_counts.txt").read_text() == "4\n2\n"
    (tmp_path / "merge_counts.txt").write_text("4\nx\n")
    with pytest.raises(TokenizerError, match='line 2 is "x"'):
        Tokenizer.load(tmp_path)
    (tmp_path / "merge_counts.txt").write_text("4\n")
    with pytest.raises(TokenizerError, match="has 1 lines, the tokenizer has 2 merges"):
        Tokenizer.load(tmp_path)
    Tokenizer.from_tokenizers(tokenizer.to_tokenizers()).save(tmp_path)
    assert not (tmp_path / "merge_counts.txt").exists()
