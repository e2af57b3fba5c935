"""Decides what the next step computes. Knows counts and slots, no tensors.

Decoding sequences always come first, so a long prompt never stalls the answers in progress; what is left of the step
goes to the prompts, in the order they came, in chunks. Admission needs a free slot and nothing else: a slot has room
for the prompt and the longest answer from the start, so no sequence is ever put back.

Decoding sequences fill slots 0 to d - 1 without holes and the one whose prompt is being read sits in slot d. When one
leaves, the last decoding sequence takes its slot, and the one in slot d moves down:

    slots  a b c d | P      b finishes      a d c | P      two moves: d to slot 1, P to slot 3
"""

from collections import deque
from dataclasses import dataclass, field

from slm.engine.sequence import Sequence


@dataclass(frozen=True)
class PrefillChunk:
    """Part of a prompt to be read in one forward pass.

    Attributes:
        sequence: Whose prompt.
        num_tokens: How many tokens, from `sequence.num_cached` on.
    """

    sequence: Sequence
    num_tokens: int

    @property
    def is_last(self) -> bool:
        """Whether the prompt is then read to its end, so that a token can be drawn."""
        return self.sequence.num_cached + self.num_tokens == len(self.sequence.token_ids)


@dataclass(frozen=True)
class SlotMove:
    """A sequence to be copied from one slot to another, free one.

    Attributes:
        sequence: Which; its `slot` is already `target`.
        source: Where its keys and values are.
        target: Where they belong.
    """

    sequence: Sequence
    source: int
    target: int


@dataclass
class Scheduler:
    """Queue and slots.

    Args:
        num_slots: Most sequences in progress.
        prefill_tokens: Most prompt tokens in one step, which bounds how long the others wait for their next.
    """

    num_slots: int
    prefill_tokens: int
    waiting: deque[Sequence] = field(default_factory=lambda: deque[Sequence]())
    decoding: list[Sequence] = field(default_factory=lambda: list[Sequence]())
    prefilling: Sequence | None = None

    @property
    def num_running(self) -> int:
        """Sequences that hold a slot."""
        return len(self.decoding) + (self.prefilling is not None)

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.waiting or self.decoding or self.prefilling)

    def sequences(self) -> list[Sequence]:
        """All of them, waiting and running."""
        prefilling = [] if self.prefilling is None else [self.prefilling]
        return [*self.decoding, *prefilling, *self.waiting]

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; queued ones start in the order they came."""
        self.waiting.append(sequence)

    def next_prefill(self, budget_tokens: int) -> PrefillChunk | None:
        """The next part of a prompt, admitting a queued sequence if none is being read; None without slot or budget."""
        if self.prefilling is None and self.waiting and len(self.decoding) < self.num_slots:
            self.prefilling = self.waiting.popleft()
            self.prefilling.slot = len(self.decoding)
        if self.prefilling is None or budget_tokens < 1:
            return None
        num_left = len(self.prefilling.token_ids) - self.prefilling.num_cached
        return PrefillChunk(self.prefilling, min(num_left, budget_tokens))

    def start_decoding(self, sequence: Sequence) -> None:
        """Its prompt is read: from the next step on it decodes, in the slot it has."""
        assert sequence is self.prefilling, "only the sequence being read can start to decode"
        assert sequence.slot == len(self.decoding), "the slots have a hole"
        self.decoding.append(sequence)
        self.prefilling = None

    def remove(self, sequence: Sequence) -> list[SlotMove]:
        """Take a sequence out of queue or slots; return what must be copied to close the hole, in order."""
        moves: list[SlotMove] = []
        if sequence is self.prefilling:
            self.prefilling = None
        elif sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            last = self.decoding.pop()
            if last is not sequence:
                moves.append(self._place(last, sequence.slot))
                self.decoding[sequence.slot] = last
            if self.prefilling is not None:
                moves.append(self._place(self.prefilling, len(self.decoding)))
        sequence.slot = None
        return moves

    def _place(self, sequence: Sequence, target: int) -> SlotMove:
        assert sequence.slot is not None, "a sequence without a slot cannot move"
        move = SlotMove(sequence, sequence.slot, target)
        sequence.slot = target
        return move
