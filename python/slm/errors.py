"""Every exception that `slm` raises on purpose, and the exit code each one means.

A message names the value, what is allowed, the place and, after `hint:`, the remedy. Input and output errors of the
operating system stay `OSError` with their path.
"""

EXIT_FAILED = 1
"""Exit code when the command was right and what it read or checked was not."""

EXIT_USAGE = 2
"""Exit code when the command line or the config asks for something that cannot be done."""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it."""


class SlmError(Exception):
    """Base of every error that a user of `slm` can cause and mend."""

    exit_code = EXIT_FAILED


class ConfigError(SlmError, ValueError):
    """A setting or an argument is unknown, out of range or at odds with another."""

    exit_code = EXIT_USAGE


class DataError(SlmError, ValueError):
    """A corpus or a shard directory cannot be read as what it claims to be."""


class TokenizerError(SlmError, ValueError):
    """A tokenizer file is malformed, or a tokenizer is not the one that an artifact was made with."""


class CheckpointError(SlmError, ValueError):
    """A checkpoint or a model directory is incomplete, corrupt or of another model."""


class TrainingError(SlmError, ArithmeticError):
    """Training cannot go on, because the loss or the gradient is no longer a finite number."""


class MissingPackageError(SlmError, ImportError):
    """A Python package that only this call needs is not installed; the message says how to get it."""


class InternalError(SlmError, RuntimeError):
    """A bug in `slm` itself, such as a panic in the Rust core; please report it."""


class SlmWarning(UserWarning):
    """Something was repaired, skipped or replaced, and the work goes on."""
