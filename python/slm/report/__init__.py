"""One page about one training run: curves, samples, and where every figure comes from."""

from slm.report.page import Sample, write_report

__all__ = ["Sample", "write_report"]
