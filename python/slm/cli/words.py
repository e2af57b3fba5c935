"""Progress in words: amounts, rates and durations as people write them."""

from slm.cli.rates import Figure, PhaseClock, ProgressLike

# What the core calls its figures, and what people are told; None: shown only with `--progress json`.
_NAMES = {
    "unique_pretokens": "different pretokens",
    "text_bytes": None,
    # Of these the rate and the ratio are told.
    "tokens": None,
    "merge_count": "last pair occurred",
    "spilled_bytes": "spilled",
    "memory_bytes": None,
}


def describe_progress(
    progress: ProgressLike, clock: PhaseClock | None, elapsed_seconds: float, *, is_narrow: bool = False
) -> str:
    """Put progress into words: `1.2 GB of 4.0 GB (30%), 85.0 MB/s, 14s, 33s left, different pretokens 1,204,311`.

    Args:
        progress: The last report of the phase.
        clock: The clock of the running phase; None for a phase that has ended, whose rate is that of all of it.
        elapsed_seconds: Seconds since the phase began.
        is_narrow: Whether there is room for about 55 letters beside a bar; what matters less goes then.
    """
    encoding = _describe_encoding(progress, elapsed_seconds, is_narrow=is_narrow)
    if is_narrow and encoding and progress.unit == "bytes":
        return _describe_narrowly(progress, clock, elapsed_seconds, encoding)
    parts = [format_amount(progress.done, progress.unit)]
    if progress.total and (clock is not None or progress.done != progress.total):
        done = parts[0] if progress.unit == "bytes" else f"{progress.done:,}"
        percent = f"{100 * progress.done // progress.total}%"
        parts = [f"{done} of {format_amount(progress.total, progress.unit)} ({percent})"]
    rate = clock.per_second() if clock else (progress.done / elapsed_seconds if elapsed_seconds > 0 else None)
    if rate:
        parts.append(f"{format_amount(rate, progress.unit)}/s")
    parts += encoding
    parts.append(format_seconds(elapsed_seconds))
    left = clock.seconds_left(progress.done, progress.total, progress.unit) if clock and progress.total else None
    if left is not None:
        parts.append(f"{format_seconds(left)} left")
    for name, figure in progress.counters.items():
        told = _NAMES.get(name, name)
        # Nothing spilled is nothing to tell.
        if told is None or (figure == 0 and name.endswith("_bytes")):
            continue
        amount = format_amount(figure, "bytes") if name.endswith("_bytes") and isinstance(figure, int) else None
        parts.append(f"{told} {amount or format_figure(figure)}")
    return ", ".join(parts)


def _describe_encoding(progress: ProgressLike, elapsed_seconds: float, *, is_narrow: bool) -> list[str]:
    """The rate of tokens and the text in each, where text is encoded."""
    tokens, text_bytes = progress.counters.get("tokens"), progress.counters.get("text_bytes")
    if not isinstance(tokens, int) or not isinstance(text_bytes, int) or not tokens or elapsed_seconds <= 0:
        return []
    ratio = f"{text_bytes / tokens:.2f} {'B/token' if is_narrow else 'bytes a token'}"
    return [f"{short_number(tokens / elapsed_seconds)} tokens/s", ratio]


def _describe_narrowly(
    progress: ProgressLike, clock: PhaseClock | None, elapsed_seconds: float, encoding: list[str]
) -> str:
    """`1.2/4.0 GB 85.0 MB/s 18.8M tokens/s 33s left 4.53 B/token`; the bar says the share."""
    done = format_amount(progress.done, "bytes")
    if clock and progress.total:
        amount, unit = format_amount(progress.total, "bytes").split()
        size = progress.total / float(amount) if float(amount) else 1
        digits = 0 if float(amount) >= 100 else 1
        done = f"{progress.done / size:.{digits}f}/{float(amount):.{digits}f} {unit}"
    rate = clock.per_second() if clock else (progress.done / elapsed_seconds if elapsed_seconds > 0 else None)
    tokens_per_second, ratio = encoding
    parts = [done, *([f"{format_amount(rate, 'bytes')}/s"] if rate else []), tokens_per_second]
    left = clock.seconds_left(progress.done, progress.total, progress.unit) if clock and progress.total else None
    if left is not None:
        parts.append(f"{format_seconds(left)} left")
    elif clock is None:
        parts.append(format_seconds(elapsed_seconds))
    return " ".join([*parts, ratio])


def short_number(number: float) -> str:
    """Write a count in three digits.

    Example:
        >>> [short_number(number) for number in (999, 1016960, 123500000, 2.5e9)]
        ['999', '1.02M', '124M', '2.5G']
    """
    for suffix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{suffix}"
    return f"{number:.3g}"


def format_amount(amount: float, unit: str) -> str:
    """Write an amount with its unit, bytes in the decimal units of disks: `85.0 MB`, `1,204 merges`, `2.5 steps`."""
    if unit == "bytes":
        for suffix, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
            if amount >= size:
                return f"{amount / size:.1f} {suffix}"
        return f"{amount:.0f} B"
    return f"{amount:,.0f} {unit}" if isinstance(amount, int) or amount >= 10 else f"{amount:.2g} {unit}"


def format_figure(figure: Figure) -> str:
    """Write a figure beside the progress.

    Example:
        >>> [format_figure(figure) for figure in (1204311, 3.14159, 0.0006, "bf16")]
        ['1,204,311', '3.142', '0.0006', 'bf16']
    """
    if isinstance(figure, int):
        return f"{figure:,}"
    return f"{figure:.4g}" if isinstance(figure, float) else figure


def format_seconds(seconds: float) -> str:
    """Write a duration as people say it.

    Example:
        >>> [format_seconds(seconds) for seconds in (0.42, 14.2, 61, 7384, 90000)]
        ['0.4s', '14s', '1m 01s', '2h 03m', '1d 01h']
    """
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}h"
    if hours:
        return f"{hours}h {minute:02}m"
    return f"{minutes}m {second:02}s" if minutes else f"{second}s"
