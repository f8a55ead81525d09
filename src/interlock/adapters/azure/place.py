"""Where a deployment of Azure OpenAI is called: by the newer addresses, or by those with an api-version."""

from typing import Final
from urllib.parse import quote, urlsplit

from interlock.adapters.call import Target

_NEWER: Final = "/openai/v1"


def place_of(target: Target, what: str) -> str:
    """The address of `what` for the deployment that `upstream_model` names.

    `base_url` is the resource's (`https://NAME.openai.azure.com`), with or without `/openai/v1`. An
    `api_version` leads to the older addresses, which have the deployment in the path; beside a
    `base_url` that ends in `/openai/v1` it is added to the newer.
    """
    base, version = target.base_url.rstrip("/"), target.api_version
    query = f"?api-version={quote(version, safe='')}" if version is not None else ""
    if urlsplit(base).path.endswith(_NEWER):
        return f"{base}/{what}{query}"
    if version is None:
        return f"{base}{_NEWER}/{what}"
    deployment = quote(target.upstream_model, safe="")
    return f"{base.removesuffix('/openai')}/openai/deployments/{deployment}/{what}{query}"
