"""The systems of `tokenizer_train`: a program each, run as a process of its own.

Every program trains byte-level BPE with the GPT-2 pattern and without special tokens on the lines of the same files,
feeds its library the way its documentation shows, and saves the merges.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_LINES = """
import itertools, pathlib
pathlib.Path(args["out"]).mkdir(parents=True)
lines = itertools.chain.from_iterable(open(path, encoding="utf-8", newline="\\n") for path in args["files"])
"""

OURS = """
import slm
lines = {"documents": "line"} if args["documents"] == "line" else {"documents": "separator", "separator": "\\n"}
tokenizer = slm.train_tokenizer(
    args.get("corpus") or args["files"], vocab_size=args["vocab_size"], pattern="gpt2", special_tokens=[], **lines,
    num_threads=args["threads"], memory_limit=args["limit"], spill_dir=args["spill_dir"], out=args["out"],
)
print(json.dumps({"version": slm.__version__, "training": tokenizer.training}))
"""

_TOKENIZERS = """
import tokenizers, pathlib
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(
    vocab_size=args["vocab_size"], show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
tokenizer.train(args["files"], trainer)
pathlib.Path(args["out"]).mkdir(parents=True)
tokenizer.model.save(args["out"])
print(json.dumps({"version": tokenizers.__version__}))
"""

_RUSTBPE = f"""
import importlib.metadata, rustbpe
{_LINES}
tokenizer = rustbpe.Tokenizer()
tokenizer.train_from_iterator(lines, args["vocab_size"], pattern={_GPT2!r})
with open(args["out"] + "/tokens.hex", "w") as file:
    file.writelines(bytes(token).hex() + "\\n" for token, _ in tokenizer.get_mergeable_ranks()[256:])
print(json.dumps({{"version": importlib.metadata.version("rustbpe")}}))
"""

# Records a batch: of lines the default, 4096, is so few that threads wait for one another.
_FFBPE = f"""
import importlib.metadata
from ffbpe import BpeTrainer, PreTokenizer
{_LINES}
counter = PreTokenizer([]).word_counter()
counter.add_source(lines, max_records=100_000)
trainer = BpeTrainer([], unit="byte", initial_alphabet="byte_level", tie_break="smallest_pair_id")
trainer.add_word_counter(counter)
trainer.train(args["vocab_size"])
trainer.save_files(args["out"] + "/vocab.json", args["out"] + "/merges.txt", format="gpt2")
print(json.dumps({{"version": importlib.metadata.version("ffbpe")}}))
"""

_GIGATOKEN = """
import importlib.metadata, gigatoken, pathlib
pathlib.Path(args["out"]).mkdir(parents=True)
source = gigatoken.TextFileSource(args["files"], separator=b"\\n")
_, merges = gigatoken.train_bpe(source, args["vocab_size"], [], tie_breaking="huggingface")
with open(args["out"] + "/tokens.hex", "w") as file:
    file.writelines((left + right).hex() + "\\n" for left, right in merges)
print(json.dumps({"version": importlib.metadata.version("gigatoken")}))
"""


@dataclass(frozen=True)
class Peer:
    """Another system."""

    name: str
    """Of the distribution and of the module that is imported."""

    program: str
    documents: str = "line"
    """What it takes for a document: a `line` with its ending, or what is between two line feeds (`separator`)."""

    same_ties: bool = True
    """Whether it merges the pair of Hugging Face where two are equally frequent."""

    @property
    def is_installed(self) -> bool:
        """Whether it can be imported here."""
        return importlib.util.find_spec(self.name) is not None


PEERS = {
    peer.name: peer
    for peer in (
        Peer("tokenizers", _TOKENIZERS),
        # Its ids of bytes are their values, where Hugging Face's follow the characters that stand for them.
        Peer("rustbpe", _RUSTBPE, same_ties=False),
        Peer("ffbpe", _FFBPE),
        Peer("gigatoken", _GIGATOKEN, documents="separator"),
    )
}


def merged_tokens(out: Path) -> list[bytes]:
    """The token that each merge made, by rank.

    Every token has one pair that makes it, so equal tokens in equal order are equal merges.

    Args:
        out: What a program was given as `out`.
    """
    if (out / "tokens.hex").exists():
        return [bytes.fromhex(line) for line in (out / "tokens.hex").read_text().splitlines()]
    lines = (out / "merges.txt").read_text(encoding="utf-8").split("\n")
    # `left right`, and from ffbpe ` => frequency` after it.
    merges = [line.split(" => ")[0].split(" ") for line in lines if line and not line.startswith("#version")]
    to_bytes = _bytes_of_chars()
    return [to_bytes(left + right) for left, right in merges]


def _bytes_of_chars() -> Callable[[str], bytes]:
    """From the alphabet of `merges.txt`, where bytes that cannot be printed have other characters."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    return lambda text: bytes(byte_of[char] for char in text)
