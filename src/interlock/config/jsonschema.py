"""The JSON Schema of `interlock.yaml` for editors, made from the types that check it."""

from typing import Any

import msgspec

from interlock.config.descriptions import FIELDS
from interlock.config.written import File

TITLE = "Interlock config"


def editor_schema() -> dict[str, Any]:
    """The schema, with a description for every field."""
    (root,), sections = msgspec.json.schema_components([File], ref_template="#/$defs/{name}")
    for name, section in sections.items():
        for field, sentence in FIELDS[name].items():
            section["properties"][field]["description"] = sentence
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        **root,
        "$defs": sections,
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    return plain


def render() -> bytes:
    """The schema as indented JSON: what `interlock config schema` prints."""
    return msgspec.json.format(msgspec.json.encode(editor_schema()), indent=2)
