"""Text for the benches: what the caller names, or text made here for a smoke run."""

import random
from pathlib import Path

_SYLLABLES = ("bri den fu ge ka lo mi mon ne or pi qua ru shi sta tal ver wo xa zen").split()  # noqa: SIM905


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
