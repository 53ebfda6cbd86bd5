"""What the doors send is what the OpenAPI document says they send."""

from typing import Any

import jsonschema
import pytest

from tests.conversations.doors.caller import Caller

pytestmark = pytest.mark.usefixtures("web", "worker")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    from drf_spectacular.generators import SchemaGenerator

    return SchemaGenerator().get_schema(request=None, public=True)


def published(document: dict[str, Any], name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


def test_every_event_of_a_stream_is_published(caller: Caller, document: dict[str, Any]) -> None:
    seen = set()
    for transcript in (caller.ask("thinker"), caller.ask("cut"), caller.ask("refuses")):
        for event in transcript.events:
            published(document, "StreamEvent").validate(event.data)
            seen.add(event.type)
    assert seen >= {"message.started", "reasoning.delta", "token.delta", "message.restarted", "message.error"}


def test_the_validator_knows_a_wrong_event(document: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        published(document, "StreamEvent").validate({"type": "token.delta", "text": "without its envelope"})
