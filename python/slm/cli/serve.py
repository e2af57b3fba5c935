"""`slm serve`: answer over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from slm.cli.nouns import noun_as_command
from slm.cli.options import SetOption
from slm.cli.sampling import DeviceOption, DtypeOption, ModelArgument, ThreadsOption, load_llm

app = noun_as_command()


@app.command()
def serve(
    model_dir: ModelArgument,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="YAML file with limits and address.", show_default=False),
    ] = None,
    set_: SetOption = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on. By default 127.0.0.1.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="TCP port; 0 picks a free one. By default 8000.", show_default=False)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What clients call the model. By default its directory.", show_default=False),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            metavar="FILE",
            help="API keys that clients must show, one a line. By default that in `SLM_API_KEY`, if any.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Answer over HTTP: OpenAI's `/v1/completions`, `/v1/chat/completions` `/v1/models`, and a page to try it at `/`.

    Chats take a tokenizer with a chat template, such as that of `chat_tokens: chatml`.

    Only this machine is let in unless there is an API key. Ctrl-C or SIGTERM finishes the answers in progress first; a
    second one ends at once.
    """
    import json
    import logging
    from contextlib import closing

    from slm.config import ServeConfig
    from slm.server.listen import open_port, read_api_keys, run, url_of

    overrides = list(set_ or ())
    if host is not None:
        overrides.append(f"host={json.dumps(host)}")
    if port is not None:
        overrides.append(f"port={port}")
    settings = ServeConfig.load(config, overrides) if config else ServeConfig.from_values({}, overrides)
    keys = read_api_keys(api_key_file)
    # The port before torch and the model: one that is taken is known at once.
    with closing(open_port(settings.host, settings.port, has_api_key=bool(keys))) as listener:
        from slm.server.app import create_app
        from slm.server.guards import ApiKeys
        from slm.server.service import Service

        llm = load_llm(model_dir, device, dtype, threads, settings.max_batch)
        model_name = name or model_dir.resolve().name
        url = url_of(listener)
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        code = run(
            create_app(Service(llm, model_name, settings), ApiKeys(keys)),
            listener,
            drain_seconds=settings.drain_seconds,
            on_ready=lambda: typer.echo(f"serving `{model_name}` at {url} (Ctrl-C stops)", err=True),
        )
    raise typer.Exit(code)
