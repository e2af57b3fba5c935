import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import typer

from slm.cli.errors import report
from slm.cli.main import load_noun, run
from slm.cli.nouns import NOUNS, Noun, noun_as_command, noun_with_commands
from slm.errors import CheckpointError, ConfigError, SlmError


def slm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-m", "slm", *arguments],
        capture_output=True,
        text=True,
        env={**plain, **environment},
        check=False,
    )


def test_help_loads_no_torch_no_server_and_no_noun() -> None:
    program = (
        "import sys\nfrom slm.cli.main import run\ncode = run(['--help'])\n"
        "print(code, *sorted(name for name in sys.modules if name.startswith(('torch', 'fastapi', 'numpy', 'slm.'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert set(modules) == {"slm.cli", "slm.cli.errors", "slm.cli.main", "slm.cli.nouns", "slm.errors"}


def test_help_shows_examples_before_options_and_every_noun() -> None:
    done = slm("--help", COLUMNS="80")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.index("slm quickstart") < done.stdout.index("--verbose") < done.stdout.index("Build")
    for name, noun in NOUNS.items():
        assert f" {name} " in done.stdout
        assert noun.summary in done.stdout


def test_h_is_help_and_no_argument_shows_it_too() -> None:
    assert slm("-h").stdout == slm("--help").stdout
    bare = slm()
    assert bare.stdout.strip() == slm("--help").stdout.strip()
    assert bare.returncode == 2


def test_version_is_that_of_the_package() -> None:
    import slm as package

    done = slm("--version")
    assert done.stdout == f"slm {package.__version__}\n"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        (["trian"], "error: no such command 'trian'. Did you mean 'train'?", "`slm --help`"),
        (["config", "shwo", "x"], "error: no such command 'shwo'. Did you mean 'show'?", "`slm config --help`"),
        (["config", "show"], "error: missing argument 'CONFIG'", "`slm config show --help`"),
        (["config", "show", "x", "--jsn"], "--json", "`slm config show --help`"),
        (["--colour"], "error: no such option", "`slm --help`"),
    ],
)
def test_a_wrong_command_line_is_one_paragraph_and_exit_code_2(arguments: list[str], told: str, hint: str) -> None:
    done = slm(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_named_and_exit_code_2(tmp_path: Path) -> None:
    missing = tmp_path / ("long" * 50 + ".yaml")
    done = slm("config", "show", str(missing))
    assert done.returncode == 2
    assert done.stderr == f"error: `{missing}`: no such file or directory\n"


@pytest.mark.parametrize("where", [0, 2, 4])
def test_verbose_is_understood_anywhere_and_shows_the_traceback(where: int, tmp_path: Path) -> None:
    arguments = ["config", "show", "--set", "a=1", str(tmp_path / "none.yaml")]
    arguments.insert(where, "--verbose")
    done = slm(*arguments)
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("no such file or directory\n")
    assert done.returncode == 2


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_colour_can_be_switched_off(variable: str) -> None:
    coloured = slm("trian", FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b[" in coloured.stderr
    value = {"NO_COLOR": "1", "TERM": "dumb"}[variable]
    plain = slm("trian", **{"TERM": "xterm-256color", variable: value})
    assert "\x1b[" not in plain.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m slm config schema run | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_output_that_is_closed_before_anything_is_written_is_no_error() -> None:
    command = f"{sys.executable} -m slm --version | true; exit ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert done.returncode in (0, 1)


@pytest.fixture
def noun(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """A noun of this test's own, `slm testing`."""
    app = noun_with_commands("Commands of a test.")
    module = types.ModuleType("noun_of_a_test")
    monkeypatch.setattr(module, "app", app, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(NOUNS, "testing", Noun(module.__name__, "app", "Commands of a test.", "Build"))
    return app


def raises(noun: typer.Typer, error: BaseException) -> int:
    @noun.command()
    def fail() -> None:
        raise error

    return run(["testing", "fail"])


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("`x` is 3\n\nhint: make it 4"), 2, "error: `x` is 3\n\nhint: make it 4\n"),
        (CheckpointError("step 7 is torn"), 1, "error: step 7 is torn\n"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 2, "error: `a.txt`: no such file or directory\n"),
        (IsADirectoryError(21, "Is a directory", b"a"), 2, "error: `a`: is a directory\n"),
        (PermissionError(13, "Permission denied", "a"), 1, "error: `a`: permission denied\n"),
        (OSError(28, "No space left on device"), 1, "error: no space left on device\n"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), 1, "error: `a` -> `b`: invalid cross-device link\n"),
        (OSError("odd"), 1, "error: odd\n"),
        (MemoryError(), 1, "error: out of memory\n"),
        (ModuleNotFoundError("No module named 'torch'", name="torch.nn"), 1, "hint: pip install torch\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (typer.Abort(), 130, "interrupted\n"),
        (typer.Exit(1), 1, ""),
        (ZeroDivisionError("division by zero"), 1, "hint: this is a bug in `slm`; please report it"),
    ],
)
def test_errors_become_a_paragraph_and_an_exit_code(
    noun: typer.Typer, error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raises(noun, error) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert bool(captured.err) == bool(told)
    assert "Traceback" not in captured.err


def test_causes_are_told_in_order_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    error = CheckpointError("the checkpoint cannot be read")
    error.__cause__ = SlmError("the header is cut")
    error.__cause__.__cause__ = FileNotFoundError(2, "No such file or directory", "weights")
    assert report(error, verbose=False) == 1
    assert capsys.readouterr().err == (
        "error: the checkpoint cannot be read\n"
        "  caused by: the header is cut\n"
        "  caused by: `weights`: no such file or directory\n"
    )


def test_markup_in_an_error_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    report(SlmError("token `[bold]` and `[/]` in [red]"), verbose=False)
    assert capsys.readouterr().err == "error: token `[bold]` and `[/]` in [red]\n"


def test_a_command_that_ends_well_is_0_and_its_options_stay_its_own(
    noun: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    @noun.command()
    def versions(v: bool = typer.Option(False, "-v")) -> None:
        typer.echo(f"v is {v}")

    assert run(["testing", "versions", "-v", "--verbose"]) == 0
    assert capsys.readouterr().out == "v is True\n"


def test_a_noun_can_be_a_command_itself(noun: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    app = noun_as_command()

    @app.command()
    def only(path: str) -> None:
        typer.echo(path)

    noun.registered_callback = None
    noun.registered_commands = app.registered_commands
    assert run(["testing", "a.txt"]) == 0
    assert capsys.readouterr().out == "a.txt\n"


def test_every_noun_has_its_commands_and_each_knows_verbose() -> None:
    for name in NOUNS:
        waiting = [load_noun(name)]
        while waiting:
            command = waiting.pop()
            assert "--verbose" in [option for parameter in command.params for option in parameter.opts], name
            assert command.help, f"`{name}` has a command without a docstring"
            waiting.extend(getattr(command, "commands", {}).values())


def test_ctrl_c_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom slm.cli import config\nfrom slm.cli.main import run\n"
        "@config.app.command()\ndef wait() -> None:\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "sys.exit(run(['config', 'wait']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert told == "interrupted\n"
