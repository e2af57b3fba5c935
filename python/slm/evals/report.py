"""The figures of an evaluation as a table for people; for programs they are `dataclasses.asdict` of the report."""

from typing import TYPE_CHECKING

from slm.evals.loss import LossReport

if TYPE_CHECKING:
    from rich.table import Table


def as_table(report: LossReport, *, model: str, source: str) -> "Table":
    """Lay the figures out for a terminal.

    Args:
        report: What was measured.
        model: The model's name in the title.
        source: Where the documents are from.
    """
    from rich.table import Table

    table = Table("figure", "value", "of", title=f"{model} on {source}", title_justify="left")
    table.columns[1].justify = "right"
    table.add_row("bits per byte", f"{report.bits_per_byte:.4f}", f"{report.bytes:,} bytes of text")
    table.add_row("perplexity", f"{report.perplexity:.3f}", f"{report.tokens:,} tokens of text")
    table.add_row("loss, nats", f"{report.loss:.4f}", "a token of text")
    table.add_row("end-of-text loss, nats", f"{report.end_of_text_loss:.4f}", f"{report.documents:,} documents")
    table.add_row("window, stride", f"{report.window_tokens:,}, {report.stride_tokens:,}", "tokens")
    return table
