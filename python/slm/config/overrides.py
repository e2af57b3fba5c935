"""`--set a.b=c`: single values that a command line puts over those of a file."""

from collections.abc import Sequence
from typing import Any

from slm.config.yaml_reader import KeyPath, read_yaml
from slm.errors import ConfigError


def parse_override(override: str) -> tuple[tuple[str, ...], Any]:
    """Split `train.max_steps=1_000` into where and what.

    The value is read as YAML, so `1e-3`, `true`, `null`, `[a.txt, b.txt]` and `"text"` have their types.

    Raises:
        ConfigError: There is no `=`, a name before it is empty, or the value is not YAML.
    """
    name, equals, text = override.partition("=")
    keys = tuple(key.strip() for key in name.split("."))
    if not equals or not all(keys):
        raise ConfigError(
            f"override `{override}` is not of the form `name=value`\n\n"
            "hint: write the path of the setting, as in `--set train.max_steps=100`"
        )
    return keys, read_yaml(text, f"`--set {override}`").value


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Put overrides over the values of a config, later ones over earlier ones.

    Args:
        values: What the file says; not changed.
        overrides: Each `a.b=value`.

    Returns:
        The new values, and for each path that was set the override that set it.

    Raises:
        ConfigError: An override is malformed or goes through something that is not a mapping.
    """
    result = dict(values)
    origins: dict[KeyPath, str] = {}
    for override in overrides:
        keys, value = parse_override(override)
        parent = result
        for depth, key in enumerate(keys[:-1], start=1):
            inner = parent.get(key)
            if inner is not None and not isinstance(inner, dict):
                raise ConfigError(
                    f"`--set {override}`: `{'.'.join(keys[:depth])}` is a single value and has no `{keys[depth]}`"
                )
            parent[key] = dict(inner) if inner is not None else {}
            parent = parent[key]
        parent[keys[-1]] = value
        origins[keys] = override
    return result, origins
