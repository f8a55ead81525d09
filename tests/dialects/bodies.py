"""Bodies of requests for tests, and what decoding one comes to."""

import json
from typing import Any, Final

import pytest

from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.labels import Dialect
from interlock.types.request import Request

BOTH: Final[tuple[Dialect, ...]] = ("openai-chat", "anthropic-messages")


def body(**fields: Any) -> bytes:
    whole = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, **fields}
    return json.dumps({key: value for key, value in whole.items() if value is not ...}).encode()


def decode(dialect: Dialect, headers: dict[str, str] | None = None, /, **fields: Any) -> Request:
    return DIALECTS[dialect].decode_request(body(**fields), headers or {})


def refusal(dialect: Dialect, headers: dict[str, str] | None = None, /, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        decode(dialect, headers, **fields)
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)
    return caught.value


def user(*parts: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts), **more}]
