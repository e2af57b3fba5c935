"""The pattern of a tokenizer's config and its options."""

from typing import Any

import pytest

from slm.config import TokenizerConfig
from slm.config.tokenizer import PATTERN_NAMES
from slm.errors import ConfigError

REQUIRED = {"corpus": {"paths": ["a"]}, "vocab_size": 300, "out": "tok"}


@pytest.mark.parametrize("pattern", [*PATTERN_NAMES, r"\w+|\W+", r" ?\p{L}+|.", ".", "a|b"])
def test_a_name_or_a_regex_is_a_pattern(pattern: str) -> None:
    config = TokenizerConfig.from_values(REQUIRED | {"pattern": pattern, "prefix_space": True, "normalization": "nfc"})
    assert (config.pattern, config.digits, config.normalization) == (pattern, None, "nfc")
    assert TokenizerConfig.from_values(REQUIRED, ["digits=2", "pattern=o200k"]).digits == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "gpt5"}, "no `pattern` is called `gpt5`, it must be `gpt2`, `cl100k`"),
        ({"pattern": "o200k_base"}, "no `pattern` is called `o200k_base`"),
        ({"pattern": ""}, "pattern"),
        ({"digits": 4}, "digits"),
        ({"digits": 0}, "digits"),
        ({"pattern": r"\w+|\W+", "digits": 3}, "`digits` goes with the name of a pattern"),
        ({"normalization": "nfkc"}, "normalization"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenizerConfig.from_values(REQUIRED | settings)
