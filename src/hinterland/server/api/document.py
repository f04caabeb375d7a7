"""The OpenAPI 3.1 document of the HTTP API, made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from hinterland._version import __version__
from hinterland.server.api.operation import Operation
from hinterland.server.problems import METHOD_NOT_ALLOWED, Problem, problem_body

__all__ = ["openapi_document"]

_REFERENCE: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


class ProblemBody(msgspec.Struct, rename="camel"):
    """A problem (RFC 9457); `code` is the number of the original object server."""

    type: str
    title: str
    status: int
    detail: str
    code: int | None = None


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document of all documented operations."""
    shown = [one for one in operations if one.is_documented]
    structures = {one for each in shown for one in (each.body, each.answer) if one is not None}
    structures.add(ProblemBody)
    ordered = sorted(structures, key=lambda one: one.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    by_type = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in shown:
        path = _PARAMETER.sub(r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hinterland",
            "version": __version__,
            "description": "Users, permissions and realms of a Hinterland server.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in shown)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token, from POST /auth or `hinterland token`.",
                }
            },
        },
    }


def _operation(one: Operation, by_type: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": f"{one.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', one.path).rstrip('_')}",
        "summary": one.summary,
        "tags": [one.tag],
        "security": [] if one.caller == "anybody" else [{"accessToken": []}],
        "responses": _responses(one, by_type),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(one.path)
    ]
    parameters += _query_parameters(one.query)
    if parameters:
        found["parameters"] = parameters
    if one.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": by_type[one.body]}}}
    return found


def _query_parameters(query: Any) -> list[dict[str, Any]]:
    if query is None:
        return []
    (_,), components = msgspec.json.schema_components([query], ref_template=_REFERENCE)
    schema = components[query.__name__]
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": {key: value for key, value in each.items() if key != "description"},
            **({"description": each["description"]} if "description" in each else {}),
        }
        for name, each in schema["properties"].items()
    ]


def _responses(one: Operation, by_type: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(one.status).phrase}
    if one.answer is not None:
        success["content"] = {"application/json": {"schema": by_type[one.answer]}}
    responses = {str(one.status): success}
    by_status: dict[int, list[Problem]] = {}
    for problem in [*one.all_problems(), METHOD_NOT_ALLOWED]:
        by_status.setdefault(problem.status, []).append(problem)
    for status, problems in sorted(by_status.items()):
        content = {
            "schema": by_type[ProblemBody],
            "examples": {each.name: {"value": problem_body(each, each.title)} for each in problems},
        }
        responses[str(status)] = {
            "description": "; ".join(dict.fromkeys(each.title for each in problems)),
            "content": {"application/problem+json": content, "application/json": content},
        }
    return responses
