"""Rows made one document after the other, as lists: the twin of what the core cuts from files."""

from itertools import pairwise

NO_TARGET = -100


def stream_rows(documents: list[list[int]], row_tokens: int) -> list[tuple[list[int], list[int], list[int], list[int]]]:
    """Inputs, targets, positions and documents of each row; documents come with their end-of-text id."""
    tokens = [token for ids in documents for token in ids]
    numbers = [number for number, ids in enumerate(documents) for _ in ids]
    rows = []
    for start in range(0, len(tokens) - row_tokens, row_tokens):
        stop = start + row_tokens
        positions, document_ids = [0], [0]
        for before, after in pairwise(numbers[start:stop]):
            is_next = before != after
            positions.append(0 if is_next else positions[-1] + 1)
            document_ids.append(document_ids[-1] + is_next)
        rows.append((tokens[start:stop], tokens[start + 1 : stop + 1], positions, document_ids))
    return rows


def pieces_of(documents: list[list[int]], row_tokens: int) -> list[tuple[list[int], list[int]]]:
    """Inputs and targets of each piece that documents are cut into."""
    pieces = []
    for ids in documents:
        targets = [*ids[1:], NO_TARGET]
        for start in range(0, len(ids), row_tokens):
            stop = start + row_tokens
            pieces.append((ids[start:stop], targets[start:stop]))
    return pieces


def best_fit_rooms(lengths: list[int], row_tokens: int) -> list[int]:
    """Tokens of padding in each row, by the textbook: the longest first, each into the fullest row with room."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
        rooms.append((min(fitting) if fitting else row_tokens) - length)
    return sorted(rooms)
