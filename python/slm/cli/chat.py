"""`slm chat`: talk with a model that has a chat template, or write a text together with any other."""

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING, ClassVar

import typer

from slm.cli.errors import tell
from slm.cli.nouns import noun_as_command
from slm.cli.sampling import ModelArgument, SamplingOptions, check_text, shown, takes_sampling
from slm.errors import SlmError

if TYPE_CHECKING:
    from slm.engine import LLM, SamplingParams

app = noun_as_command()

_TEXT_HELP = """\
What you type is put at the end of the text, and the model writes on from there. An empty line lets it go on; a line
that ends with a backslash is continued on the next."""

_COMMANDS = """\
  /help                show this
  /text                show the whole text so far
  /undo                take back the last turn
  /reset               begin a new text
  /settings            show the settings
  /temperature NUMBER  randomness; 0 always takes the likeliest token
  /top-p NUMBER        keep the likeliest tokens that together have this probability
  /top-k NUMBER        keep this many of the likeliest tokens; `off` keeps all
  /min-p NUMBER        keep tokens at least this fraction as likely as the likeliest
  /max-tokens NUMBER   longest passage
  /seed NUMBER         make it repeatable; `off` makes it random
  /stop TEXT           end a passage before this text; without TEXT nothing ends it
  /quit                leave

Ctrl-C stops the passage; on an empty prompt, twice leaves."""


@app.command()
@takes_sampling
def chat(
    model_dir: ModelArgument,
    *,
    sampling: SamplingOptions,
) -> None:
    """Talk with a model, or write a text together with one: a line of yours and a passage of its own in turn.

    It is a talk where the tokenizer has a chat template, such as that of `chat_tokens: chatml`.

    The model's text goes to stdout, everything else to stderr. Lines are read from stdin, so a script can drive it.
    """
    from slm.cli.conversation import Conversation

    params = sampling.params()
    llm = sampling.load_llm(model_dir)
    context = f"`{model_dir}`: a context of {llm.engine.context_tokens} tokens."
    if llm.tokenizer.end_of_message_id is None:
        tell(
            f"{context} This is a base model, not tuned for chat:\n"
            "it continues what you type and does not answer it. /help lists the commands, /quit leaves."
        )
        Session(llm, params).run(_line_reader())
    else:
        tell(f"{context} It answers by its chat template. /help lists the commands, /quit leaves.")
        Conversation(llm, params).run(_line_reader())


@dataclass
class Session:
    """A text that two write: what is in it, and how the model is asked to go on.

    Args:
        llm: The model.
        params: How it writes; `max_tokens` gives way where the context has less room.
    """

    llm: "LLM"
    params: "SamplingParams"
    text: str = ""
    turns: list[str] = field(default_factory=lambda: list[str]())
    """The text before each turn, for `/undo`."""

    help: ClassVar[str] = _TEXT_HELP
    """What a line is, for `/help`."""

    def run(self, read_line: Callable[[], str | None]) -> None:
        """Take turns until `read_line` gives None or the person leaves."""
        while (line := read_line()) is not None:
            while line.endswith("\\"):
                line = line[:-1] + "\n" + (read_line() or "")
            try:
                if line.startswith("/"):
                    if not self.command(line):
                        return
                else:
                    self.turn(check_text(line, "the line"))
            except SlmError as error:
                # A setting out of range or a character that is none: said, and the session goes on.
                told, _, hint = str(error).partition("\n\nhint: ")
                tell(f"{told}; {hint}" if hint else told, label="error", style="bold red")

    def turn(self, line: str) -> None:
        """Add a line and let the model go on until it ends or Ctrl-C stops it."""
        before = self.text
        if line and self.text and not self.text[-1].isspace():
            line = "\n" + line
        prompt_ids, num_dropped = self._window(self.text + line)
        if num_dropped:
            tell(f"the text is longer than the context; the model no longer sees its first {num_dropped} tokens")
        answer = self.answer(prompt_ids)
        self.turns.append(before)
        self.text += line + answer

    def answer(self, prompt_ids: list[int], stop_token_ids: tuple[int, ...] = ()) -> str:
        """Let the model write, to stdout as well, until it ends or Ctrl-C stops it."""
        room = self.llm.engine.context_tokens - len(prompt_ids)
        max_tokens = max(1, min(self.params.max_tokens, room))
        params = replace(self.params, max_tokens=max_tokens, stop_token_ids=stop_token_ids)
        on_terminal = sys.stdout.isatty()
        answer = ""
        stream = self.llm.stream(prompt_ids, params)
        with _ctrl_c_sets_a_flag() as is_stopped:
            for delta in stream:
                answer += delta.text
                typer.echo(shown(delta.text, on_terminal=on_terminal), nl=False)
                sys.stdout.flush()
                if is_stopped():
                    stream.close()
                    break
        typer.echo()
        return answer

    def _window(self, text: str) -> tuple[list[int], int]:
        """The end of the text that leaves room for an answer, and how many tokens lie before it."""
        token_ids: list[int] = self.llm.tokenizer.encode(text).tolist()
        context_tokens = self.llm.engine.context_tokens
        if not token_ids:
            end_of_text_id = self.llm.tokenizer.end_of_text_id
            return ([] if end_of_text_id is None else [end_of_text_id]), 0
        # A quarter of the context at least is for the answer, unless less was asked for.
        kept = max(1, context_tokens - min(self.params.max_tokens, max(1, context_tokens // 4)))
        return token_ids[-kept:], max(0, len(token_ids) - kept)

    def command(self, line: str) -> bool:
        """Obey a line that begins with a slash; False if it says to leave."""
        name, _, argument = line[1:].partition(" ")
        argument = argument.strip()
        match name.lower():
            case "quit" | "exit" | "q":
                return False
            case "help" | "h" | "?":
                tell(f"{self.help}\n\n{_COMMANDS}")
            case "text":
                tell(shown(self.whole(), on_terminal=sys.stderr.isatty()) or "the text is empty")
            case "undo":
                tell(self.undo())
            case "reset":
                self.reset()
                tell("a new text")
            case "settings":
                tell(_describe(self.params))
            case "temperature" | "top-p" | "top-k" | "min-p" | "max-tokens" | "seed" | "stop":
                self._set(name.lower().replace("-", "_"), argument)
            case _:
                tell(f"`/{name}` is not a command; /help lists them", label="error", style="bold red")
        return True

    def whole(self) -> str:
        """All there is so far."""
        return self.text

    def undo(self) -> str:
        """Take back the last turn and say what is left."""
        self.text = self.turns.pop() if self.turns else ""
        return f"the text has {len(self.text)} characters"

    def reset(self) -> None:
        """Begin anew."""
        self.text, self.turns = "", []

    def _set(self, name: str, argument: str) -> None:
        value: object
        if name == "stop":
            value = [argument.replace("\\n", "\n")] if argument else []
        elif name in ("top_k", "seed") and argument == "off":
            value = None
        else:
            try:
                value = float(argument) if name in ("temperature", "top_p", "min_p") else int(argument)
            except ValueError:
                tell(f"`{argument}` is not a number", label="error", style="bold red")
                return
        # The names were checked by the caller; the types are the fields' own.
        self.params = replace(self.params, **{name: value})  # pyright: ignore[reportArgumentType]
        tell(_describe(self.params))


def _describe(params: "SamplingParams") -> str:
    stop = ", ".join(repr(text) for text in params.stop) or "nothing"
    seed = "off" if params.seed is None else params.seed
    return (
        f"temperature {params.temperature:g}, top-p {params.top_p:g}, top-k {params.top_k or 'off'}, "
        f"min-p {params.min_p:g}, max-tokens {params.max_tokens}, seed {seed}, stop at {stop}"
    )


def _line_reader() -> Callable[[], str | None]:
    """Read lines with editing and history on a terminal, plainly elsewhere; None at the end."""
    if not sys.stdin.isatty():
        return lambda: line.removesuffix("\n") if (line := sys.stdin.readline()) else None
    try:
        import readline  # input() edits lines once it is loaded
    except ImportError:
        readline = None
    del readline
    was_interrupted = False

    def read() -> str | None:
        nonlocal was_interrupted
        while True:
            try:
                # The prompt of input() goes to stdout, which is for the model's text.
                sys.stderr.write("> ")
                sys.stderr.flush()
                line = input()
            except EOFError:
                typer.echo(err=True)
                return None
            except KeyboardInterrupt:
                if was_interrupted:
                    raise
                was_interrupted = True
                tell("\nCtrl-C again or /quit leaves")
            else:
                was_interrupted = False
                return line

    return read


@contextmanager
def _ctrl_c_sets_a_flag() -> Generator[Callable[[], bool], None, None]:
    """Note the first Ctrl-C within the block and do not raise it, so that no step is cut in two; raise the second."""
    interrupted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, before)
