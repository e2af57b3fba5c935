"""Sizes in bytes, as people write them."""

import re

from slm.errors import ConfigError

_UNITS = {
    "": 1,
    "B": 1,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}


def parse_size(size: int | str, name: str) -> int:
    """Bytes of a size such as `1GiB`, `256 MiB`, `1.5GB` or `67108864`.

    Args:
        size: Bytes, or a number with a unit: KiB, MiB, GiB, TiB by powers of 1024, KB, MB, GB, TB by powers of 1000.
        name: What the setting is called, for the error.

    Raises:
        ConfigError: It is not a size.

    Example:
        >>> parse_size("64MiB", "memory_limit")
        67108864
    """
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size) if isinstance(size, str) else None
    factor = _UNITS.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise ConfigError(
            f"`{name}` is {size!r}, which is not a size\n\n"
            "hint: give a number of bytes or text such as `256MiB` or `1GiB`"
        )
    return int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
