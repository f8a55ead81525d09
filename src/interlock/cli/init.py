"""`interlock init`: a first config that works at once, over the models that are at hand."""

import http.client
import json
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from interlock.cli.context import DEFAULT_CONFIG, common
from interlock.cli.output import Stop, say, write_json
from interlock.config.init import starter

PATIENCE_S: Final = 0.5
"""How long a server on this machine may take to list its models."""
MOST_BYTES: Final = 1_000_000


@click.command("init")
@common
@click.option("--force", is_flag=True, help="Replace a config that is there.")
def command(config_file: Path | None, as_json: bool, force: bool) -> None:
    """Write a first interlock.yaml.

    Its aliases (cheap, hard, long-context, safe) lead to what is found: known vendors whose keys are
    set ($OPENAI_API_KEY, $ANTHROPIC_API_KEY, $MISTRAL_API_KEY, …), model servers that answer on this
    machine, else a small model that `interlock serve` runs itself (the extra `interlock[demo]`).
    """
    path = config_file or DEFAULT_CONFIG
    if path.exists() and not force:
        raise Stop("there is a config already", where=str(path), hint="--force replaces it")
    try:
        path.write_text(starter(os.environ, listed_models), "utf-8")
    except OSError as error:
        raise Stop(error.strerror or str(error), where=str(path)) from None
    if as_json:
        write_json({"file": str(path)})
    else:
        say(f"wrote {path}\nnext: `interlock check`, then `interlock serve`")


def listed_models(base_url: str) -> list[str] | None:
    """The models that a server on this machine lists; None if none answers there as one should."""
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"{parts.path}/models")
        answer = connection.getresponse()
        body = json.loads(answer.read(MOST_BYTES)) if answer.status == 200 else None
        return [str(entry["id"]) for entry in body["data"]] if body is not None else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
