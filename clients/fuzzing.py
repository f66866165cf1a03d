"""A hook for schemathesis: tells it which mixtures there are, so that what it makes up gets past the door.

The document says that a model is a text and a message an object. That is right, and enough for a client; but made up
from nothing it is hardly ever the name of a mixture, or a message that says something.
"""

from __future__ import annotations

from typing import Any, Final

import schemathesis

NAMES: Final = ["single", "council", "auto", "scholar"]
CONVERSATION: Final = {
    "type": "array",
    "minItems": 1,
    "maxItems": 5,
    "items": {
        "type": "object",
        "properties": {
            "role": {"enum": ["system", "user", "assistant"]},
            "content": {"type": "string", "minLength": 1},
        },
        "required": ["role", "content"],
    },
}


@schemathesis.hook
def before_load_schema(_: Any, raw_schema: dict[str, Any]) -> None:
    """Name the mixtures wherever a model is named, and say what most conversations look like."""
    left: list[Any] = [raw_schema]
    while left:
        found = left.pop()
        left += found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
        properties = found.get("properties") if isinstance(found, dict) else None
        if isinstance(properties, dict) and {"model", "messages"} <= set(properties):
            properties["model"]["enum"] = NAMES
            messages = properties["messages"]
            properties["messages"] = {"anyOf": [CONVERSATION, messages], "examples": messages.get("examples", [])}
    for parameter in raw_schema["paths"]["/v1/models/{name}"]["get"]["parameters"]:
        parameter["schema"]["enum"] = NAMES
