"""The proxies of providers: their addresses checked, and each given to the deployments that use it.

An address is part of the config, and recorded with it. Its credentials are a secret like a key: `environment`
has taken them out of it.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from interlock.config import written
from interlock.config.checked import Deployment
from interlock.config.environment import Place, path_of
from interlock.config.problems import error
from interlock.errors import Problem
from interlock.types.proxy import parse_proxy

_HINT: Final = "write `http://HOST:PORT`, or `http://USER:${PROXY_PASSWORD}@HOST:PORT`"
Way = tuple[str, str | None]
"""A proxy's address, and what it is shown."""


def with_proxies(
    name: str,
    provider: written.Provider,
    deployments: tuple[Deployment, ...],
    secrets: Mapping[Place, str],
    credentials: dict[str, str],
    problems: list[Problem],
) -> tuple[Deployment, ...]:
    """The deployments with the proxy that each goes through: its endpoint's own, else the provider's.

    What they are shown is put into `credentials`, by deployment; what is wrong with one into `problems`.
    """
    shared = _way(provider.proxy, ("providers", name, "proxy"), secrets, problems)
    found = []
    for deployment in deployments:
        way, region = shared, deployment.endpoint
        if region is not None:
            place = ("providers", name, "endpoints", region, "proxy")
            way = _way(provider.endpoints[region].proxy, place, secrets, problems) or shared
        if way is not None:
            address, shown = way
            if shown is not None:
                credentials[deployment.id] = shown
            found.append(replace(deployment, proxy=address))
        else:
            found.append(deployment)
    return tuple(found)


def _way(
    address: str | None, place: Place, secrets: Mapping[Place, str], problems: list[Problem]
) -> Way | None:
    if address is None:
        return None
    shown = secrets.get(place)
    try:
        parse_proxy(address, shown)
    except ValueError as fault:
        problems.append(error(path_of(place), str(fault), _HINT))
        return None
    return address.rstrip("/"), shown
