"""Going on from a tokenizer: ids stay, and what is learned is what one training would have learned."""

import json
from pathlib import Path

import pytest

from slm.cli.main import run
from slm.errors import ConfigError
from slm.tokenizer import Tokenizer, count_pretokens, train_tokenizer


@pytest.mark.parametrize("memory_limit", ["64MiB", None])
def test_going_on_with_the_same_text_is_one_training(memory_limit: str | None, python_files: list[Path]) -> None:
    paths = list(python_files)
    small = train_tokenizer(paths, vocab_size=600, pattern="cl100k")
    large = train_tokenizer(paths, vocab_size=2000, extend=small, memory_limit=memory_limit)
    assert large == train_tokenizer(paths, vocab_size=2000, pattern="cl100k")
    assert large.training is not None
    assert large.training["config"]["extend"] == {"fingerprint": small.fingerprint, "vocab_size": 600}


def test_ids_and_special_tokens_of_the_old_one_stay_and_new_ones_come_after_them(
    python_files: list[Path], tmp_path: Path
) -> None:
    old = train_tokenizer(iter(["to be or not to be"]), vocab_size=262, special_tokens=["<eos>"], out=tmp_path / "old")
    count_pretokens(list(python_files), out=tmp_path / "counts")
    new = train_tokenizer(
        counts=tmp_path / "counts",
        extend=tmp_path / "old",
        vocab_size=1000,
        special_tokens=["<s>"],
        out=tmp_path / "new",
    )
    assert new == Tokenizer.load(tmp_path / "new")
    assert new.vocab_size == 1000
    assert new.special_tokens == old.special_tokens | {"<s>": old.vocab_size}
    assert new.end_of_text_id == old.end_of_text_id == 0
    assert [new.token_bytes(i) for i in range(old.vocab_size)] == [old.token_bytes(i) for i in range(old.vocab_size)]
    assert new.merges()[: len(old.merges())] == old.merges()
    assert new.prefix(500) == train_tokenizer(
        counts=tmp_path / "counts", extend=old, vocab_size=500, special_tokens=["<s>"]
    )


def test_what_does_not_go_together_is_named(tmp_path: Path) -> None:
    old = train_tokenizer(iter(["to be or not to be"]), vocab_size=260)
    for settings, match in [
        ({"vocab_size": 259}, "`vocab_size` is 259, the tokenizer to extend has 260 tokens"),
        ({"vocab_size": 300, "pattern": "qwen2"}, "splits by the pattern `gpt2`, `pattern` is `qwen2`"),
        ({"vocab_size": 300, "special_tokens": ["be"]}, "`be` is token 257 of the tokenizer to extend"),
    ]:
        with pytest.raises(ConfigError, match=match):
            train_tokenizer(iter(["text"]), extend=old, **settings)


def test_the_command_extends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "corpus.txt").write_text("to be or not to be, that is the question\n" * 20)
    old = train_tokenizer(tmp_path / "corpus.txt", vocab_size=270, special_tokens=["</s>"], out=tmp_path / "old")
    config = tmp_path / "tokenizer.yaml"
    config.write_text(f"corpus: {{paths: [{tmp_path}/corpus.txt]}}\nvocab_size: 280\nout: {tmp_path}/new\n")
    assert run(["tokenizer", "train", str(config), "--extend", f"{tmp_path}/old", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vocab_size"] == 280
    new = Tokenizer.load(tmp_path / "new")
    assert new.special_tokens == old.special_tokens
    assert new == train_tokenizer(tmp_path / "corpus.txt", vocab_size=280, special_tokens=["</s>"])
