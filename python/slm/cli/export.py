"""`slm export` and `slm import`: models in the formats of other tools."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slm.cli.nouns import noun_with_commands
from slm.cli.options import JsonOption

if TYPE_CHECKING:
    from slm.interop.hf import Transfer

app = noun_with_commands("Write a model for other tools.")
import_app = noun_with_commands("Read a model of other tools.")


class WeightType(StrEnum):
    """Number formats that weights can be written in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


OutArgument = Annotated[
    Path, typer.Argument(metavar="OUT", help="Directory to write; an earlier model there is replaced.")
]


@app.command("hf")
def export_hf(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Model directory.", show_default=False)],
    out: OutArgument,
    dtype: Annotated[WeightType | None, typer.Option(help="Convert the weights. Default: as they are.")] = None,
    json_: JsonOption = False,
) -> None:
    """Write a directory that `transformers` and vLLM load, after checking every tensor."""
    import torch

    from slm.interop import hf

    _report(hf.export_hf(model_dir, out, dtype=None if dtype is None else getattr(torch, dtype)), json_)


@import_app.command("hf")
def import_hf(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="Llama or Qwen3 directory with safetensors.", show_default=False)
    ],
    out: OutArgument,
    json_: JsonOption = False,
) -> None:
    """Read a directory that `transformers` saved; nothing pickled is read and no code is run."""
    from slm.interop import hf

    _report(hf.import_hf(source, out), json_)


def _report(transfer: "Transfer", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(transfer)))
        return
    typer.echo(
        f"{transfer.directory}: {transfer.architecture}, {transfer.num_parameters:,} parameters, {transfer.dtype}, "
        f"tokenizer {transfer.tokenizer_fingerprint or 'none'}"
    )
