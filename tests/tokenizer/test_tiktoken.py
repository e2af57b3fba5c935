import base64
import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers

from slm.errors import ConfigError, TokenizerError
from slm.tokenizer import Tokenizer
from tests.reference import hugging_face, rank_files
from tests.reference.hostile import HOSTILE

MULTILINGUAL = """def main(argv):\r\n    return "it's 1984,\tnaïve café\u00a0"  # 日本語のテキスト。
Съешь ещё этих мягких французских булок, да выпей же чаю. ١٢٣٤ हिन्दी में पाठ, ไทย, ქართული, 한국어
HTTPServer'S don'T x²+y³≠½   \n\n\n   \u2003\u3000end of it 👩‍👩‍👧‍👦 \n  """


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text).tolist()


def random_text(rng: random.Random) -> str:
    letters = rng.choice(["ab \n", "ab'sS1 \n\r\t", "aé語\u0301 \u2003\n-", "ab"])
    return "".join(rng.choices(letters, k=rng.randrange(200)))


@pytest.mark.parametrize("pattern", rank_files.PATTERNS)
@pytest.mark.parametrize("by_name", [True, False])
def test_ids_of_a_trained_vocabulary_are_those_of_tiktoken(pattern: str, by_name: bool, tmp_path: Path) -> None:
    regex = rank_files.PATTERNS[pattern]
    ranks = rank_files.trained(MULTILINGUAL * 3, pattern)
    special_tokens = {"<|endoftext|>": len(ranks) + 3, "<|fim|>": len(ranks) + 20}
    path = rank_files.write(tmp_path / "ranks.tiktoken", ranks)
    ours = Tokenizer.from_tiktoken(path, pattern=pattern if by_name else regex, special_tokens=special_tokens)
    theirs = rank_files.encoding(ranks, regex, special_tokens)
    assert ours.vocab_size == theirs.n_vocab
    assert ours.pattern == pattern
    assert len(ours.unused_ids()) == 3 + 16
    ours.save(tmp_path / "tok")
    hf = tokenizers.Tokenizer.from_file(str(tmp_path / "tok" / "tokenizer.json"))
    rng = random.Random(pattern)
    for text in [*HOSTILE, MULTILINGUAL, *(random_text(rng) for _ in range(200))]:
        ids = ids_of(ours, text)
        assert ids == theirs.encode_ordinary(text)
        assert ids == hugging_face.encode(hf, text)
        assert ours.decode(ids) == text
        parsed = ours.encode(text, parse_special=True).tolist()
        assert parsed == theirs.encode(text, allowed_special="all")
        assert parsed == hugging_face.encode(hf, text, parse_special=True)


@pytest.mark.parametrize("seed", range(60))
def test_ids_of_any_ranks_are_those_of_tiktoken_and_of_hugging_face_once_saved(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    ranks = rank_files.gnarled(seed)
    regex = rng.choice([rank_files.GPT2, rank_files.CL100K, rank_files.O200K, r"\S+|\s+", r"[a-b\s]{1,9}|[^ab\s]+"])
    path = rank_files.write(tmp_path / "ranks.tiktoken", ranks)
    ours = Tokenizer.from_tiktoken(path, pattern=regex)
    theirs = rank_files.encoding(ranks, regex, {})
    ours.save(tmp_path / "tok")
    again = Tokenizer.load(tmp_path / "tok")
    assert again == ours
    assert again.unused_ids().tolist() == sorted(set(range(ours.vocab_size)) - set(ranks.values()))
    hf = tokenizers.Tokenizer.from_file(str(tmp_path / "tok" / "tokenizer.json"))
    for _ in range(40):
        text = random_text(rng)
        ids = theirs.encode_ordinary(text)
        assert ids_of(ours, text) == ids
        assert ids_of(again, text) == ids
        assert hugging_face.encode(hf, text) == ids
        assert ours.decode_bytes(ids) == text.encode()


def test_a_token_over_a_line_end_makes_the_end_of_a_text_count(tmp_path: Path) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"  ": 256, b"\n  ": 257, b" \n": 258}
    path = rank_files.write(tmp_path / "ranks.tiktoken", ranks)
    ours = Tokenizer.from_tiktoken(path, pattern=rank_files.CL100K)
    theirs = rank_files.encoding(ranks, rank_files.CL100K, {})
    ours.save(tmp_path / "tok")
    hf = tokenizers.Tokenizer.from_file(str(tmp_path / "tok" / "tokenizer.json"))
    for text in ["a\n  ", "a\n  b", "a \n", "\n\n  ", "\n  \n  "]:
        assert ids_of(ours, text) == theirs.encode_ordinary(text) == hugging_face.encode(hf, text)
    assert ids_of(ours, "a\n  ") == [97, 257]


@pytest.mark.parametrize("length", [99, 100, 101, 499, 500, 501, 5000])
def test_long_pretokens_are_merged_as_tiktoken_merges_them(length: int, tmp_path: Path) -> None:
    ranks = rank_files.gnarled(length, "ab")
    path = rank_files.write(tmp_path / "ranks.tiktoken", ranks)
    ours = Tokenizer.from_tiktoken(path, pattern="gpt2")
    theirs = rank_files.encoding(ranks, rank_files.GPT2, {})
    rng = random.Random(length)
    for text in ["a" * length, "ab" * (length // 2), "".join(rng.choices("ab", k=length))]:
        assert ids_of(ours, text) == theirs.encode_ordinary(text)


def test_names_of_special_tokens_get_the_ids_behind_the_ranks(tmp_path: Path) -> None:
    path = rank_files.write(tmp_path / "ranks.tiktoken", rank_files.gnarled(3) | {b"last": 900})
    tokenizer = Tokenizer.from_tiktoken(path, pattern="gpt2", special_tokens=["<|endoftext|>", "<|pad|>"])
    assert tokenizer.special_tokens == {"<|endoftext|>": 901, "<|pad|>": 902}
    assert tokenizer.end_of_text_id == 901


def test_an_id_without_a_token_is_an_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 300}
    path = rank_files.write(tmp_path / "ranks.tiktoken", ranks)
    tokenizer = Tokenizer.from_tiktoken(path, pattern="gpt2", special_tokens={"<|endoftext|>": 400})
    assert tokenizer.vocab_size == 401
    assert len(tokenizer.unused_ids()) == 44 + 99
    with pytest.raises(ConfigError, match="token id 256 at position 1 has no token"):
        tokenizer.decode([97, 256])
    with pytest.raises(IndexError, match="256"):
        tokenizer.token_bytes(256)
    assert tokenizer.token_lengths()[[255, 256, 300, 400]].tolist() == [1, 0, 2, 0]
    assert tokenizer.unreachable_tokens().size == 0
    assert pickle.loads(pickle.dumps(tokenizer)) == tokenizer
    assert len(tokenizer.to_tokenizers().get_vocab()) == 258


def edit(change: Callable[[list[str]], object]) -> list[str]:
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    change(lines)
    return lines


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (edit(lambda lines: lines.append("YWI= 256 7")), "line 257: `YWI= 256 7` is not a token, a blank and a rank"),
        (edit(lambda lines: lines.append("YWI=")), "line 257: `YWI=` is not a token"),
        (edit(lambda lines: lines.append("YWI= -1")), "line 257: rank `-1` is not a number from 0 to 4294967294"),
        (edit(lambda lines: lines.append("YWI= 4294967295")), "rank `4294967295` is not a number"),
        (edit(lambda lines: lines.append("YWI= 1e3")), "rank `1e3` is not a number"),
        (edit(lambda lines: lines.append("YWI 256")), "line 257: token `YWI` is cut off: .* these are 3"),
        (edit(lambda lines: lines.append("Y*I= 256")), "line 257: token `Y\\*I=` is not base64: character 1 is none"),
        (edit(lambda lines: lines.append("YWI= 65")), "line 257: rank 65 is that of line 66 too"),
        (edit(lambda lines: lines.append("QQ== 256")), "line 257: token `A` comes twice, first in line 66"),
        (edit(lambda lines: lines.pop(10)), "byte 0x0A has no token"),
        (edit(lambda lines: lines.clear()), "byte 0x00 and 255 others have no token"),
        (edit(lambda lines: lines.append("A" * 1400 + " 256")), "line 257: the token has 1050 bytes, at most 1024"),
        (edit(lambda lines: lines.append("A" * 10_000_000)), "line 257: is longer than a token of 1024 bytes needs"),
        (edit(lambda lines: lines.append("\x00\x01")), "is not a token, a blank and a rank"),
    ],
)
def test_a_malformed_rank_file_is_named_with_its_line(lines: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tiktoken"
    path.write_text("\n".join(lines))
    with pytest.raises(TokenizerError, match=message) as raised:
        Tokenizer.from_tiktoken(path, pattern="gpt2")
    assert str(path) in str(raised.value)


def test_what_is_asked_for_wrongly_is_named(tmp_path: Path) -> None:
    path = rank_files.write(tmp_path / "ranks.tiktoken", {bytes([byte]): byte for byte in range(256)})
    with pytest.raises(ConfigError, match="no pattern is called `gpt9`"):
        Tokenizer.from_tiktoken(path, pattern="gpt9")
    with pytest.raises(ConfigError, match=r"`<\|end\|>` has id 7, which is a rank of the file"):
        Tokenizer.from_tiktoken(path, pattern="gpt2", special_tokens={"<|end|>": 7})
    with pytest.raises(ConfigError, match="has id -1, it must be from 0"):
        Tokenizer.from_tiktoken(path, pattern="gpt2", special_tokens={"<|end|>": -1})
    with pytest.raises(ConfigError, match="ids may be without a token"):
        Tokenizer.from_tiktoken(path, pattern="gpt2", special_tokens={"<|end|>": 4_000_000_000})
    with pytest.raises(ConfigError, match=r"has ranks alone.*\n\nhint: slm tokenizer import"):
        Tokenizer.load(path)
    with pytest.raises(FileNotFoundError):
        Tokenizer.from_tiktoken(tmp_path / "none.tiktoken", pattern="gpt2")


def test_a_hostile_rank_file_takes_no_quadratic_time(tmp_path: Path) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"a" * length: 254 + length for length in range(2, 1025)}
    path = rank_files.write(tmp_path / "ranks.tiktoken", ranks)
    started = time.monotonic()
    tokenizer = Tokenizer.from_tiktoken(path, pattern="gpt2")
    assert len(tokenizer.encode("a" * 1_000_000)) >= 977
    assert time.monotonic() - started < 5
