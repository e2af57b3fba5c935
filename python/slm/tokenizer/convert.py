"""The same tokenizer as an object of Hugging Face, made in memory, and back."""

import importlib
import json
from typing import TYPE_CHECKING, Any

from slm import _core
from slm.errors import MissingPackageError, TokenizerError

if TYPE_CHECKING:
    import tokenizers
    import transformers


def to_tokenizers(core: "_core.Tokenizer") -> "tokenizers.Tokenizer":
    """Make the `tokenizers.Tokenizer` with the same ids.

    Raises:
        MissingPackageError: `tokenizers` is not installed.
    """
    return import_package("tokenizers").Tokenizer.from_buffer(core.to_json())


def to_transformers(core: "_core.Tokenizer") -> "transformers.PreTrainedTokenizerFast":
    """Make the `transformers.PreTrainedTokenizerFast` that loading the saved directory gives.

    Raises:
        MissingPackageError: `transformers` is not installed.
    """
    transformers = import_package("transformers")
    config: dict[str, Any] = json.loads(core.config_json())
    # The class is what we are about to make; everything else is an argument of it.
    config.pop("tokenizer_class")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=to_tokenizers(core), **config)


def from_tokenizers(tokenizer: "tokenizers.Tokenizer") -> "_core.Tokenizer":
    """Take over a byte-level BPE tokenizer of Hugging Face.

    Raises:
        TokenizerError: It is of another kind, or has a part that is not supported; the message names it.
    """
    kind = type(tokenizer.model).__name__
    if kind != "BPE":
        raise TokenizerError(f"the model of the tokenizer is {kind}, it must be byte-level BPE")
    return _core.Tokenizer.from_json(tokenizer.to_str().encode())


def import_package(name: str, requirement: str = "'slm-foundry[hf]'") -> Any:
    """Import a package that not everybody needs.

    Args:
        name: The package.
        requirement: What to install to have it.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name:
            raise
        raise MissingPackageError(
            f"the Python package `{name}` is not installed\n\nhint: pip install {requirement}"
        ) from error
