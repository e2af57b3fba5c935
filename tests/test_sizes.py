"""Sizes in bytes, as people write them."""

import pytest

from slm.errors import ConfigError
from slm.sizes import parse_size


@pytest.mark.parametrize(
    ("size", "num_bytes"),
    [(0, 0), (7, 7), ("7", 7), ("64MiB", 64 << 20), ("1 gib", 1 << 30), (" 1.5GB ", 1_500_000_000), ("2TiB", 2 << 40)],
)
def test_sizes_are_read_with_and_without_units(size: int | str, num_bytes: int) -> None:
    assert parse_size(size, "memory_limit") == num_bytes


@pytest.mark.parametrize("size", ["", "MiB", "1 XB", "-1", -1, True, "1e3", None])
def test_what_is_not_a_size_is_refused_with_its_name(size: object) -> None:
    with pytest.raises(ConfigError, match="`memory_limit` is"):
        parse_size(size, "memory_limit")  # type: ignore[arg-type]
