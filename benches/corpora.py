"""Text for the benches: what the caller names, repeated and shuffled where more is wanted, or text made here.

Lines of a file in another order, as often as wanted:

    python -m benches.corpora --repeat 3 --out books-3x.txt books-en.txt
"""

import argparse
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

_SYLLABLES = ("bri den fu ge ka lo mi mon ne or pi qua ru shi sta tal ver wo xa zen").split()  # noqa: SIM905

_PIECE_BYTES = 16_000_000


def synthetic_text(path: Path, megabytes: float, *, seed: int = 0) -> Path:
    """Write text of made-up words with a Zipf-like spread, one sentence a line.

    Args:
        path: The file to write.
        megabytes: About how much, in 10**6 bytes.
        seed: Same seed, same bytes.

    Returns:
        `path`.
    """
    generator = random.Random(seed)
    words = ["".join(generator.choices(_SYLLABLES, k=generator.randint(1, 4))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    with path.open("w", encoding="utf-8") as file:
        written = 0
        while written < megabytes * 1e6:
            sentence = " ".join(generator.choices(words, weights, k=generator.randint(4, 20)))
            written += file.write(sentence.capitalize() + generator.choice((".\n", "!\n", ", 12\n", "?\n\n")))
    return path


def cut_into_pieces(files: list[str], directory: Path, *, seed: int = 0) -> list[Path]:
    """Write the lines of `files` into pieces of 16 MB, those of a piece in random order.

    Args:
        files: Text; each ends with a line feed.
        directory: Where the pieces go; it is made.
        seed: Same seed, same order.

    Returns:
        The pieces.
    """
    generator = random.Random(seed)
    directory.mkdir(parents=True)
    pieces: list[Path] = []
    for lines in itertools.chain.from_iterable(_blocks(Path(file)) for file in files):
        generator.shuffle(lines)
        pieces.append(directory / f"{len(pieces):04}.txt")
        pieces[-1].write_bytes(b"".join(lines))
    return pieces


def repeat_pieces(pieces: list[Path], gigabytes: float, path: Path, *, seed: int = 0) -> int:
    """Write a list of files, for `@path`, that names pieces in random order until they are `gigabytes` in all.

    No piece comes again before all have come, and each round has an order of its own.

    Returns:
        The bytes behind the list: `gigabytes`, less than a piece more.
    """
    generator = random.Random(seed)
    sizes = {piece: piece.stat().st_size for piece in pieces}
    named: list[Path] = []
    total = 0
    while total < gigabytes * 1e9:
        for piece in generator.sample(pieces, len(pieces)):
            if total < gigabytes * 1e9:
                named.append(piece)
                total += sizes[piece]
    path.write_text("".join(f"{piece}\n" for piece in named))
    return total


def _blocks(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        while lines := file.readlines(_PIECE_BYTES):
            yield lines


def main() -> None:
    """Write lines of files in random order, as often as asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    with options.out.open("wb") as out:
        for _ in range(options.repeat):
            lines = [line for file in options.files for block in _blocks(file) for line in block]
            generator.shuffle(lines)
            out.writelines(lines)


if __name__ == "__main__":
    main()
