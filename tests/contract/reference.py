"""The official reference, taken apart: operations, parameters, names, examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


SPEC = Path(__file__).parents[3] / "shared" / "api" / "openapi.json"


def resolved(node: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` points to, or the node itself."""
    if "$ref" not in node:
        return node
    found: Any = spec
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return cast("dict[str, Any]", found)


def operations_of(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation of the reference by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }


def parameters_of(key: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of an operation, in path and query."""
    return [resolved(parameter, spec) for parameter in operations_of(spec)[key].get("parameters", [])]


def query_names(key: str, spec: dict[str, Any]) -> set[str]:
    """Query names as they go on the wire: those of an object with brackets."""
    names: set[str] = set()
    for parameter in parameters_of(key, spec):
        if parameter["in"] == "query":
            parts = parameter.get("schema", {}).get("properties")
            names |= {f"{parameter['name']}[{part}]" for part in parts} if parts else {parameter["name"]}
    return names


def names_in(schema: dict[str, Any], spec: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of a schema and of what it holds, with dots."""
    for name, part in resolved(schema, spec).get("properties", {}).items():
        yield prefix + name
        yield from names_in(part, spec, f"{prefix}{name}.")


def body_names(key: str, spec: dict[str, Any], content_type: str = "application/json") -> set[str]:
    """Names in a body of that type; none if the operation has no such body."""
    content = operations_of(spec)[key].get("requestBody", {}).get("content", {})
    return set(names_in(content[content_type]["schema"], spec)) if content_type in content else set()


def sent_names(body: object, prefix: str = "") -> Iterator[str]:
    """Names in a body that was sent, and in what it holds, with dots."""
    if isinstance(body, dict):
        for name, value in cast("dict[str, object]", body).items():
            yield prefix + name
            yield from sent_names(value, f"{prefix}{name}.")


def example_of(schema: dict[str, Any], spec: dict[str, Any]) -> Any:
    """The schema's own example, else one put together from those of its parts."""
    schema = resolved(schema, spec)
    if "example" in schema:
        return schema["example"]
    if schema.get("type") == "array":
        return [example_of(schema["items"], spec)]
    parts = schema if "type" not in schema else schema.get("properties")
    if parts:
        return {name: example_of(part, spec) for name, part in parts.items()}
    plain: dict[str, object] = {"string": "2025-01-01T00:00:00.000Z", "object": {}, "number": 1}
    return plain[schema["type"]]
