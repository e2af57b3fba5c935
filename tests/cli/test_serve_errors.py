"""What `slm serve` refuses before it answers anybody."""

import socket
import subprocess

import pytest

from slm.cli import main


@pytest.fixture
def serve(capsys, monkeypatch):
    """Run `slm serve` in this process; the result is what `subprocess.run` gives."""

    def serve(*arguments, key=""):
        monkeypatch.setenv("SLM_API_KEY", key)
        command = ["serve", *map(str, arguments)]
        code = main.run(command)
        return subprocess.CompletedProcess(command, code, *capsys.readouterr())

    return serve


def assert_refused(result, code, *words):
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def test_a_port_in_use_is_named(serve, tiny_model_dir):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = serve(tiny_model_dir, "--port", port)
    assert_refused(result, 2, f"cannot listen on `127.0.0.1` port {port}: address already in use", "`--port`; 0 picks")


def test_a_missing_model_is_named(serve, tmp_path):
    assert_refused(serve(tmp_path / "nothing", "--port", 0), 2, "nothing`: no such file or directory")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_let_in_only_with_a_key(serve, tiny_model_dir, host):
    result = serve(tiny_model_dir, "--host", host, "--port", 0)
    assert_refused(result, 2, f"`{host}` can be reached from other machines, and there is no API key", "--api-key-file")


def test_keys_that_are_none_are_refused(serve, tiny_model_dir, tmp_path):
    keys = tmp_path / "keys"
    assert_refused(serve(tiny_model_dir, "--api-key-file", keys), 2, "keys`: no such file")
    keys.write_text("\n")
    assert_refused(serve(tiny_model_dir, "--api-key-file", keys), 2, "holds no API key", "openssl rand")
    keys.write_text("short\n")
    result = serve(tiny_model_dir, "--api-key-file", keys)
    assert_refused(result, 2, "key 1 in", "has 5 characters, allowed are 16 or more")
    assert "short" not in result.stderr.replace("shorter", ""), "a key is never shown"
    assert_refused(serve(tiny_model_dir, key="x y"), 2, "key 1 in `SLM_API_KEY`")


def test_an_unknown_host_is_named(serve, tiny_model_dir):
    assert_refused(
        serve(tiny_model_dir, "--host", "no.such.host.invalid"), 2, "`no.such.host.invalid` is not an address"
    )


def test_settings_are_checked(serve, tiny_model_dir):
    assert_refused(serve(tiny_model_dir, "--port", 70000), 2, "port")
    assert_refused(serve(tiny_model_dir, "--set", "max_bach=3"), 2, "max_bach", "max_batch")
