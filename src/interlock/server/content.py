"""What of prompts and answers goes into a record: nothing, unless the operator switched it on."""

from typing import Any, Final

import msgspec

from interlock.classify.detect import scan
from interlock.config.checked import Config
from interlock.types.labels import Logging

_encode: Final = msgspec.json.Encoder().encode


def is_kept(config: Config, logging: Logging) -> bool:
    """Whether anything of what was said in a request goes into its record."""
    return config.telemetry.content != "off" and logging == "full"


def content_of(config: Config, logging: Logging, body: bytes, answer: str) -> msgspec.Raw | None:
    """The content to keep of one request, as JSON. `logging` of the decision can only keep less."""
    if not is_kept(config, logging):
        return None
    if config.telemetry.content == "full":
        return msgspec.Raw(_encode({"request": msgspec.Raw(body), "answer": answer}))
    masked = {"request": _masked_value(msgspec.json.decode(body)), "answer": mask(answer)}
    return msgspec.Raw(_encode(masked))


def mask(text: str) -> str:
    """The text with everything that a detector finds replaced by the detector's name."""
    out: list[str] = []
    done = 0
    for hit in scan(text):
        if hit.start >= done:
            out += (text[done : hit.start], f"[{hit.kind}]")
        done = max(done, hit.end)
    return "".join((*out, text[done:]))


def _masked_value(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked_value(item) for item in value]
    if isinstance(value, dict):
        return {mask(name): _masked_value(item) for name, item in value.items()}
    return value
