"""Azure OpenAI's Responses API: OpenAI's own, at a newer address of the resource and with another header."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from interlock.config.checked import Deployment
from interlock.types.quirks import KeyHeader

KEY_HEADER: Final[KeyHeader] = "api-key"
_NEWER: Final = "/openai/v1"


def at_newer_addresses(deployments: Iterable[Deployment]) -> tuple[Deployment, ...]:
    """The same resources, each at the address under which it has what OpenAI has under `/v1`."""
    return tuple(_at_newer_address(deployment) for deployment in deployments)


def _at_newer_address(deployment: Deployment) -> Deployment:
    base = deployment.base_url
    if urlsplit(base).path.endswith(_NEWER):
        return deployment
    return msgspec.structs.replace(deployment, base_url=base.removesuffix("/openai") + _NEWER)
