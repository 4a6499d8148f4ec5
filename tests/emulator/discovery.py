"""Google's own schemas, from the discovery documents inside google-api-python-client.

A discovery schema is close to JSON Schema but for three things: `$ref` names a schema id, int64
travels as a string, and unknown properties are allowed. Here they are refused, so that a field
that Google does not have is caught.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

_DATE_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"
_PATTERNS = {
    "int64": r"^-?\d{1,19}$",
    "uint64": r"^\d{1,20}$",
    "date-time": _DATE_TIME,
    "google-datetime": _DATE_TIME,
    "byte": r"^[A-Za-z0-9+/_-]*={0,2}$",
}
_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}


@functools.cache
def document(name: str) -> dict[str, Any]:
    """A bundled discovery document, as `drive.v3`."""
    folder = files("googleapiclient") / "discovery_cache" / "documents"
    loaded: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return loaded


@functools.cache
def validator(name: str, schema_id: str) -> Draft202012Validator:
    """A strict validator of one schema of one API."""
    schemas = {key: _convert(value) for key, value in document(name)["schemas"].items()}
    assert schema_id in schemas
    return Draft202012Validator({"$ref": f"#/$defs/{schema_id}", "$defs": schemas})


def problems(name: str, schema_id: str, answer: Any) -> list[str]:
    """What in an answer Google's schema does not allow."""
    errors = validator(name, schema_id).iter_errors(answer)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def _convert(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    if node.get("type") == "any":
        return {}
    schema: dict[str, Any] = {"type": node["type"]}
    if "enum" in node:
        schema["enum"] = node["enum"]
    kind = node.get("format", "")
    if schema["type"] == "string" and kind in _PATTERNS:
        schema["pattern"] = _PATTERNS[kind]
    if kind in _BOUNDS:
        schema["minimum"], schema["maximum"] = _BOUNDS[kind]
    if schema["type"] == "array":
        schema["items"] = _convert(node["items"])
    if schema["type"] == "object":
        properties = node.get("properties", {})
        schema["properties"] = {key: _convert(value) for key, value in properties.items()}
        more = node.get("additionalProperties")
        schema["additionalProperties"] = _convert(more) if more else False
    return schema
