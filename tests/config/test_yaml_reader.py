import math
import sys
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slm.config.yaml_reader import MAX_BYTES, MAX_DEPTH, read_scalar, read_yaml
from slm.errors import ConfigError


def read(text: str) -> Any:
    return read_yaml(text, "`run.yaml`").value


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6e-4", 6e-4),
        ("6.0e-4", 6e-4),
        ("1_000_000", 1_000_000),
        ("1e6", 1_000_000),
        ("-3", -3),
        ("+3", 3),
        ("0x_1F", 31),
        (".5", 0.5),
        ("1.", 1.0),
        ("1_000.25", 1000.25),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        # Booleans, octal, base 60 and dates of YAML 1.1 are text.
        ("off", "off"),
        ("yes", "yes"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1__", 1),
        ("_1", "_1"),
        ("e5", "e5"),
        ("0x", "0x"),
        ("9" * 100, "9" * 100),
    ],
)
def test_scalars_have_the_type_that_people_mean(text: str, value: object) -> None:
    got = read_scalar(text)
    assert got == value
    assert type(got) is type(value)


def test_whole_exponents_beyond_exact_floats_stay_floats() -> None:
    assert isinstance(read_scalar("1e30"), float)
    assert read_scalar("1e999") == math.inf
    assert read_scalar("-.inf") == -math.inf
    assert math.isnan(float(read_scalar(".nan") or 0))


def test_quoted_scalars_are_text() -> None:
    assert read("a: '1'\nb: \"true\"\nc: |\n  x\n  y\n") == {"a": "1", "b": "true", "c": "x\ny\n"}


def test_lines_of_keys_and_items_are_kept() -> None:
    document = read_yaml("a: 1\nb:\n  c: [x,\n    y]\n", "`f`")
    assert document.value == {"a": 1, "b": {"c": ["x", "y"]}}
    assert document.lines[("b", "c")] == 3
    assert document.lines[("b", "c", 1)] == 4


def test_an_empty_document_has_no_value() -> None:
    assert read("") is None
    assert read("# nothing but this\n") is None


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: &x 1\nb: 2", 1, "anchor `&x`"),
        ("a: 1\nb: *x", 2, "alias `*x`"),
        ("&x a: 1", 1, "plain name"),
        ("a: 1\n? *x\n: 2", 2, "plain name"),
        ("a: 1\nb: 2\na: 3", 3, "`a` is already given in line 1"),
        ("a:\n  b: 1\n  'b': 2", 3, "`b` is already given in line 2"),
        ("a: !!python/object/apply:os.system [id]", 1, "os.system"),
        ("a: !mine 1", 1, "tag `!mine`"),
        ("--- 1\n--- 2", 2, "second document"),
        ("? [a]\n: 1", 1, "plain name"),
        ("a: 1\n\tb: 2", 2, "'\\t'"),
        ("a: [1, 2", 1, "not valid YAML"),
        ("a: 1\nb: 'x", 2, "not valid YAML"),
        ("a: 1\nb: \x00", 2, "U+0000"),
        ("a: b: c", 1, "not valid YAML"),
    ],
)
def test_what_is_refused_names_the_line(text: str, line: int, told: str) -> None:
    message = refusal(text)
    assert message.startswith(f"`run.yaml`, line {line}: ")
    assert told in message


def test_depth_is_bounded_and_no_recursion_error_comes_first() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    assert f"more than {MAX_DEPTH} levels" in refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert f"more than {MAX_DEPTH} levels" in refusal("[" * (10 * sys.getrecursionlimit()))
    assert f"more than {MAX_DEPTH} levels" in refusal("{a: " * 100_000)
    assert f"more than {MAX_DEPTH} levels" in refusal("- " * 100_000)


def test_size_is_bounded() -> None:
    assert read("#" * MAX_BYTES) is None
    assert "1,048,576 bytes" in refusal("#" * (MAX_BYTES + 1))


def test_a_billion_laughs_are_refused_at_the_first() -> None:
    assert "line 1" in refusal("a: &a [lol]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(50)))


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(plain_values)
def test_what_pyyaml_writes_is_read_as_it_was(value: object) -> None:
    # Long keys and alias-making shared objects are PyYAML's own choices, which this dumper turns off.
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    text = yaml.dump(value, Dumper=Dumper, default_style='"' if isinstance(value, str) else None)
    if "? " in text or "!!" in text:
        return
    assert read(text) == value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        read(text)
