"""A conversation with a model, by its tokenizer's chat template."""

from dataclasses import dataclass, field
from typing import ClassVar

from slm.cli.chat import Session
from slm.cli.errors import tell


@dataclass
class Conversation(Session):
    """Messages of a person and answers of a model in turn."""

    messages: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())
    """Role and content of each."""

    help: ClassVar[str] = (
        "What you type is a message, and the model answers. A line that ends with a backslash is continued on the next."
    )

    def turn(self, line: str) -> None:
        """Send a message and let the model answer until it ends or Ctrl-C stops it."""
        if not line:
            return
        messages = [*self.messages, ("user", line)]
        end_of_message_id = self.llm.tokenizer.end_of_message_id
        answer = self.answer(self._prompt(messages), () if end_of_message_id is None else (end_of_message_id,))
        self.messages = [*messages, ("assistant", answer)]

    def _prompt(self, messages: list[tuple[str, str]]) -> list[int]:
        """The last messages that leave room for an answer, as the model reads them."""
        context_tokens = self.llm.engine.context_tokens
        room = context_tokens - min(self.params.max_tokens, max(1, context_tokens // 4))
        num_dropped = 0
        while True:
            token_ids: list[int] = self.llm.tokenizer.encode_chat(messages[num_dropped:]).tolist()
            # The newest message is never left out; one that is longer than the context is refused by the engine.
            if len(token_ids) <= room or num_dropped + 1 >= len(messages):
                break
            num_dropped += 1
        if num_dropped:
            tell(f"the talk is longer than the context; the model no longer sees its first {num_dropped} messages")
        return token_ids

    def whole(self) -> str:
        """All messages, each behind its role."""
        return "\n".join(f"{role}: {content}" for role, content in self.messages)

    def undo(self) -> str:
        """Take back the last message and its answer."""
        self.messages = self.messages[:-2]
        return f"the talk has {len(self.messages)} messages"

    def reset(self) -> None:
        """Begin a new conversation."""
        self.messages = []
