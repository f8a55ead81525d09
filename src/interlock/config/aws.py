"""What a provider of the kind `bedrock` needs to sign requests: a whole access key, and a region.

Problems name what is wrong with a key, and quote nothing of it.
"""

from collections.abc import Iterator
from typing import Final

import re2

from interlock.config.checked import Deployment
from interlock.config.problems import below, error
from interlock.errors import Problem
from interlock.wire.sigv4 import parse_credentials, region_of

_ID_ALONE: Final = re2.compile(r"A[KS]IA[A-Z0-9]{12,}")
_WHOLE: Final = "write `${AWS_ACCESS_KEY_ID}:${AWS_SECRET_ACCESS_KEY}`, or use a Bedrock API key"
_TEMPORARY: Final = "write `${AWS_ACCESS_KEY_ID}:${AWS_SECRET_ACCESS_KEY}:${AWS_SESSION_TOKEN}`"
_REGION: Final = (
    "use `https://bedrock-runtime.REGION.amazonaws.com`, or name the one AWS region under `regions`"
    " or as the endpoint's name"
)


def check_access_key(key: str, deployment: Deployment, key_path: str, url_path: str) -> Iterator[Problem]:
    """The problems of a deployment's key. `key_path` is the section that has it, `url_path` the address's.

    A key without a colon is a Bedrock API key, which is sent as it is and needs no region.
    """
    place = below(key_path, "api_key")
    if _ID_ALONE.fullmatch(key):
        yield error(place, "is the id of an access key without its secret", _WHOLE)
        return
    if ":" not in key:
        return
    credentials = parse_credentials(key)
    if credentials is None:
        yield error(place, "is no access key: an id, a secret and perhaps a token, with `:` between", _WHOLE)
        return
    if credentials.lacks_token:
        yield error(place, "is a temporary access key without its session's token", _TEMPORARY)
    if region_of(deployment.base_url, deployment.regions) is None:
        yield error(
            below(url_path, "base_url"), "does not say which AWS region requests are signed for", _REGION
        )
