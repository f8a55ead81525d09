"""The schema for editors: complete, described, and of one mind with the loader."""

import json

import jsonschema_rs
import pytest

from interlock.config.descriptions import FIELDS
from interlock.config.environment import fill
from interlock.config.jsonschema import editor_schema, render
from interlock.config.source import read_source
from tests.config.base import COMPLETE, ENV

SCHEMA = editor_schema()


def test_every_field_of_the_file_has_a_sentence_and_every_sentence_its_field():
    assert {name: set(section["properties"]) for name, section in SCHEMA["$defs"].items()} == {
        name: set(fields) for name, fields in FIELDS.items()
    }
    for section in SCHEMA["$defs"].values():
        assert all(field["description"].strip() for field in section["properties"].values())


def test_the_complete_config_is_valid_by_it():
    tree = json.loads(json.dumps(fill(read_source(COMPLETE.read_bytes()).tree, ENV).tree))
    tree["server"]["port"] = int(tree["server"]["port"])
    jsonschema_rs.validator_for(SCHEMA).validate(tree)


@pytest.mark.parametrize(
    "change", [{"alises": {}}, {"server": {"port": "x"}}, {"policy": [{"name": "r"}]}, {"version": 2}]
)
def test_what_the_loader_refuses_is_marked_by_it(change):
    tree = {"providers": {}, "models": {}} | change
    assert not jsonschema_rs.validator_for(SCHEMA).is_valid(tree)


def test_it_is_printed_as_json():
    assert json.loads(render()) == SCHEMA
