"""Every answer of the local Graph against Microsoft's own OpenAPI description of it.

Source: tests/specs/graph-v1.0-intune.openapi.json, cut from Microsoft's (MIT licence). Real Graph leaves the
description in one place that matters here, and so does the sandbox, on purpose: v1.0 returns enrolment types
of Android Enterprise that its enum lacks (microsoft-graph-docs issue 18926). The test names them, and fails
if another value turns up.
"""

import copy
import re
from typing import Any

import httpx
import pytest
from local_microsoft import (
    ACTION_TIME,
    FIELD_APP,
    IPHONE,
    KEN,
    LAPTOP,
    MEI,
    OPENAPI,
    PHONES,
    PIXEL,
    Microsoft,
)
from openapi_schema_validator import OAS30ReadValidator, oas30_strict_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from sandbox.cast import DEFAULT_CAST

OUTSIDE_THE_ENUM = {
    "androidEnterpriseFullyManaged",
    "androidEnterpriseCorporateWorkProfile",
    "androidEnterpriseDedicatedDevice",
}
ADA = DEFAULT_CAST.phone_owners[0].oid

ANSWERS = [
    ("GET", "users/priya@contoso.com/managedDevices"),
    ("GET", f"users/{ADA}/managedDevices?$select=id,deviceName"),
    ("GET", f"users/{ADA}/managedDevices/{IPHONE}"),
    ("GET", f"users/{ADA}/managedDevices/{PIXEL}"),
    ("GET", "deviceManagement/managedDevices"),
    ("GET", "deviceManagement/managedDevices?$filter=nothing eq 'x'"),
    ("GET", "deviceManagement/managedDevices?$top=2"),
    ("GET", "deviceManagement/managedDevices/00000000-0000-4000-8000-000000000000"),
    ("GET", f"deviceManagement/managedDevices/{IPHONE}?$select=deviceActionResults,udid"),
    ("GET", f"deviceManagement/detectedApps/{FIELD_APP}/managedDevices"),
    ("GET", "deviceManagement/detectedApps/unknown/managedDevices"),
    ("GET", "users/nobody@contoso.com/managedDevices"),
    ("POST", f"deviceManagement/managedDevices/{IPHONE}/resetPasscode"),
    ("POST", f"deviceManagement/managedDevices/{LAPTOP}/resetPasscode"),
    ("POST", f"users/{ADA}/managedDevices/{IPHONE}/resetPasscode"),
    ("POST", f"users/{ADA}/managedDevices/{PIXEL}/resetPasscode"),
]


@pytest.mark.parametrize("who", [KEN, MEI, None], ids=["approver", "without the role", "without a token"])
@pytest.mark.parametrize(("method", "path"), ANSWERS)
async def test_every_answer_and_refusal_is_as_described(method, path, who):
    answer = await Microsoft(token_of=who).graph.request(method, path)

    assert who is not None or answer.status_code == 401
    check(method, answer)


@pytest.mark.parametrize("device", PHONES)
@pytest.mark.parametrize("behaviour", ["completes", "fails", "not supported", "stays silent"])
async def test_every_phone_is_as_described_at_every_step_of_a_reset(device, behaviour):
    microsoft = Microsoft()
    microsoft.intune.set_behaviour(device, behaviour)
    await microsoft.graph.post(f"deviceManagement/managedDevices/{device}/resetPasscode")

    for _ in range(4):
        answer = await microsoft.graph.get(f"deviceManagement/managedDevices/{device}")
        check("GET", answer)
        microsoft.hands.advance(ACTION_TIME / 3)


async def test_only_the_known_enrolment_types_are_outside_of_the_enum():
    rows = (await Microsoft().graph.get("deviceManagement/managedDevices")).json()["value"]

    described = set(OPENAPI["components"]["schemas"]["microsoft.graph.deviceEnrollmentType"]["enum"])
    assert {row["deviceEnrollmentType"] for row in rows} - described == OUTSIDE_THE_ENUM


async def test_a_device_has_exactly_the_properties_that_are_described():
    device = (await Microsoft().graph.get(f"deviceManagement/managedDevices/{IPHONE}")).json()

    described = OPENAPI["components"]["schemas"]["microsoft.graph.managedDevice"]["properties"]
    assert {name for name in device if "@" not in name} == {name for name in described if "@" not in name}


def check(method: str, answer: httpx.Response) -> None:
    """Validate one answer against the description of its address and status."""
    described = _response(method, answer)
    if answer.status_code == 204:
        assert "content" not in described
        assert answer.content == b""
        return
    assert answer.headers["content-type"] == "application/json"
    schema = described["content"]["application/json"]["schema"]
    validator = OAS30ReadValidator(
        {"$ref": "urn:graph#/wrapped"},
        registry=_registry(schema),
        format_checker=oas30_strict_format_checker,
    )
    errors = [error.message[:300] for error in validator.iter_errors(answer.json())]
    assert errors == []


def _response(method: str, answer: httpx.Response) -> dict[str, Any]:
    path = answer.request.url.path.removeprefix("/graph/v1.0")
    responses: dict[str, Any] = next(
        operations[method.lower()]["responses"]
        for template, operations in OPENAPI["paths"].items()
        if method.lower() in operations and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path)
    )
    status = str(answer.status_code)
    found = responses.get(status) or responses[f"{status[0]}XX"]
    if "$ref" in found:
        found = OPENAPI["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return dict(found)


def _registry(schema: dict[str, Any]) -> Registry[Any]:
    document = copy.deepcopy(OPENAPI) | {"wrapped": copy.deepcopy(schema)}
    names = document["components"]["schemas"]["microsoft.graph.deviceEnrollmentType"]["enum"]
    names.extend(sorted(OUTSIDE_THE_ENUM))
    return Registry().with_resource("urn:graph", Resource(contents=document, specification=DRAFT4))
