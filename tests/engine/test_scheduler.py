"""No request is lost, no slot has a hole and no step exceeds its budget, whatever comes and goes."""

from hypothesis import given
from hypothesis import strategies as st

from slm.engine.detokenizer import TokenTable
from slm.engine.sampling_params import SamplingParams
from slm.engine.scheduler import Scheduler
from slm.engine.sequence import Sequence


def make_sequence(table: TokenTable, num_tokens: int) -> Sequence:
    return Sequence(list(range(num_tokens)), SamplingParams(), table, None)


EVENTS = st.lists(st.tuples(st.sampled_from(["add", "prefill", "remove"]), st.integers(1, 20)), max_size=60)


@given(EVENTS, st.integers(1, 4), st.integers(1, 8))
def test_slots_stay_together_and_their_content_follows(tokenizer, events, num_slots, prefill_tokens):
    table = TokenTable(tokenizer)
    scheduler = Scheduler(num_slots, prefill_tokens)
    alive: list[Sequence] = []
    holder: dict[int, Sequence] = {}  # whose keys and values a slot holds, kept by obeying the moves alone
    for event, number in events:
        if event == "add":
            alive.append(make_sequence(table, number))
            scheduler.add(alive[-1])
        elif event == "prefill":
            chunk = scheduler.next_prefill(prefill_tokens)
            if chunk is not None:
                assert 1 <= chunk.num_tokens <= prefill_tokens
                holder[chunk.sequence.slot] = chunk.sequence
                is_last = chunk.is_last
                chunk.sequence.num_cached += chunk.num_tokens
                assert is_last == (chunk.sequence.num_cached == len(chunk.sequence.token_ids))
                if is_last:
                    scheduler.start_decoding(chunk.sequence)
        elif alive:
            removed = alive.pop(number % len(alive))
            for move in scheduler.remove(removed):
                assert holder[move.source] is move.sequence or move.sequence.num_cached == 0
                holder[move.target] = move.sequence
        assert [sequence.slot for sequence in scheduler.decoding] == list(range(len(scheduler.decoding)))
        assert scheduler.num_running <= num_slots
        assert set(map(id, scheduler.sequences())) == set(map(id, alive)), "a sequence was lost or kept"
        for sequence in scheduler.decoding:
            assert holder[sequence.slot] is sequence, "a slot holds the wrong sequence"
        if scheduler.prefilling is not None:
            assert scheduler.prefilling.slot == len(scheduler.decoding)


def test_prompts_start_in_the_order_they_came(tokenizer):
    table = TokenTable(tokenizer)
    scheduler = Scheduler(2, 4)
    first, second, third = (make_sequence(table, 3) for _ in range(3))
    for sequence in (first, second, third):
        scheduler.add(sequence)
    started = []
    while (chunk := scheduler.next_prefill(4)) is not None:
        started.append(chunk.sequence)
        scheduler.start_decoding(chunk.sequence)
    assert started == [first, second]
    assert list(scheduler.waiting) == [third]
