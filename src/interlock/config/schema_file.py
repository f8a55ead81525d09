"""The JSON Schema of a lane, read from its file beside the config and tried out once."""

from pathlib import Path
from typing import Any, Final, NoReturn

import jsonschema_rs
import msgspec

from interlock.config.problems import error
from interlock.errors import Problem

MAX_BYTES: Final = 1024 * 1024


def read_schema(folder: Path, file: str, path: str) -> tuple[dict[str, Any] | None, tuple[Problem, ...]]:
    """The schema in `file`, which the config names at `path`; None with the problem where it is unusable."""
    try:
        data = (folder / file).read_bytes()
    except OSError as failure:
        what = (failure.strerror or "cannot be read").lower()
        return None, (error(path, f"`{file}`: {what}", "paths are relative to the config's own folder"),)
    if len(data) > MAX_BYTES:
        return None, (error(path, f"`{file}` is larger than {MAX_BYTES // 1024 // 1024} MiB"),)
    try:
        schema = msgspec.json.decode(data)
    except msgspec.DecodeError as failure:
        return None, (error(path, f"`{file}` is not JSON: {failure}", "a JSON Schema is a JSON file"),)
    if not isinstance(schema, dict):
        return None, (error(path, f"`{file}` holds no JSON object", "a JSON Schema is an object"),)
    try:
        jsonschema_rs.validator_for(schema, retriever=_refuse)
    except (ValueError, jsonschema_rs.ReferencingError) as failure:
        reason = str(failure).splitlines()[0]
        return None, (error(path, f"`{file}` is not a JSON Schema: {reason}", "correct the schema"),)
    return schema, ()


def _refuse(uri: str) -> NoReturn:
    """A schema may refer to parts of itself only: loading a config fetches nothing."""
    raise ValueError(f"`{uri}` lies outside the file")
