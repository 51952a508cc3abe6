"""The emulator's answers beside recorded ones: same keys, same kinds of values, same headers.

The recordings and the OpenAPI document are not part of this project. Where they are not beside the
checkout, nothing is compared; the facts that they gave are in test_emulator_facts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import pytest

from katapult_async.testing.endpoints import ENDPOINTS
from tests.caller import ORGANIZATION, Answer, Caller, calling

SHARED = Path(__file__).parents[3] / "shared"
RECORDINGS = SHARED / "recorded" / "katapult-core.jsonl"
OPENAPI = SHARED / "katapult-core-openapi.json"
comparing = pytest.mark.skipif(
    not (RECORDINGS.exists() and OPENAPI.exists()), reason="the recordings are not beside this checkout"
)

Endpoint = tuple[str, str]
#: For each object, by its place in an answer: the kinds of values of each of its keys.
Shape = dict[str, dict[str, set[str]]]


@lru_cache(maxsize=1)
def recorded() -> dict[Endpoint, list[dict[str, Any]]]:
    found: dict[Endpoint, list[dict[str, Any]]] = defaultdict(list)
    with RECORDINGS.open() as lines:
        for line in lines:
            recording = json.loads(line)
            found[recording["method"], recording["path"].removeprefix("/core/v1")].append(recording)
    return found


def add_to(shape: Shape, value: object, place: str = "") -> Shape:
    if isinstance(value, dict):
        keys = shape.setdefault(place, {})
        for key, inner in cast("dict[str, object]", value).items():
            keys.setdefault(key, set()).add(kind_of(inner))
            add_to(shape, inner, f"{place}.{key}")
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            add_to(shape, inner, f"{place}[]")
    return shape


def kind_of(value: object) -> str:
    return "null" if value is None else type(value).__name__


def recorded_shape(endpoint: Endpoint) -> Shape:
    shape: Shape = {}
    for recording in recorded().get(endpoint, ()):
        if recording["status"] < 300:
            add_to(shape, recording["response"])
    return shape


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(OPENAPI.read_text()))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema or "allOf" in schema:
        if "allOf" in schema:
            (schema,) = schema["allOf"]
        else:
            found: Any = document()
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
    return schema


KINDS = {"string": "str", "integer": "int", "boolean": "bool", "array": "list", "object": "dict"}


def documented_keys(schema: dict[str, Any], place: str) -> dict[str, set[str]]:
    """The keys that the object at this place may have, and the kinds of their values."""
    for part in place.split(".")[1:]:
        schema = resolved(resolved(schema)["properties"][part.removesuffix("[]")])
        if part.endswith("[]"):
            schema = schema["items"]
    properties: dict[str, dict[str, Any]] = resolved(schema)["properties"]
    return {
        key: {KINDS[resolved(value).get("type", "object")]} | ({"null"} if value.get("nullable") else set())
        for key, value in properties.items()
    }


def documented_success(endpoint: Endpoint) -> dict[str, Any]:
    answers = document()["paths"][endpoint[1]][endpoint[0].lower()]["responses"]
    (success,) = [answer for status, answer in answers.items() if status.startswith("2")]
    return cast("dict[str, Any]", success["content"]["application/json"]["schema"])


async def answers_of(caller: Caller) -> dict[Endpoint, list[Answer]]:
    """Successes of every endpoint, with a disk that is on a machine and one that is not."""
    emulator = caller.emulator
    one, two, *_ = emulator.disk_ids
    machine = emulator.virtual_machine_ids[0]
    found: dict[Endpoint, list[Answer]] = defaultdict(list)

    async def ask(method: str, path: str, query: str = "", **body: Any) -> Answer:
        answer = await caller.ask(method, path + (f"?{query}" if query else ""), body or None)
        assert answer.status < 300, answer.body
        found[method, path].append(answer)
        caller.time += emulator.world.task_duration
        return answer

    boot = next(disk.id for disk in emulator.world.disks.values() if disk.boot)
    await ask("GET", "/disks/disk", f"disk[id]={boot}")
    await ask("GET", "/disks/disk", f"disk[id]={one}")
    await ask("POST", "/disks/disk/unassign", disk={"id": one})
    await ask("POST", "/disks/disk/assign", disk={"id": one}, virtual_machine={"id": machine})
    await ask("GET", "/disks/disk", f"disk[id]={one}")
    await ask("PATCH", "/disks/disk", disk={"id": one}, properties={"name": "new"})
    attached = await ask("POST", "/disks/disk/attach", disk={"id": one})
    await ask("GET", "/tasks/task", f"task[id]={attached.body['task']['id']}")
    await ask("GET", "/virtual_machines/virtual_machine/disks", f"virtual_machine[id]={machine}")
    await ask("GET", "/organizations/organization/disks", ORGANIZATION)
    await ask("POST", "/disks/disk/detach", disk={"id": one})
    await ask("PUT", "/disks/disk/resize", disk={"id": one}, size_in_gb=30)
    await ask("PUT", "/disks/disk/io_profile", disk={"id": one}, io_profile={"permalink": "moderate"})
    await ask("DELETE", "/disks/disk", disk={"id": two})
    properties = {"name": "x", "size_in_gb": 5, "data_center": {"permalink": "em-one-01"}}
    organization = {"sub_domain": "acme"}
    await ask("POST", "/organizations/organization/disks", organization=organization, properties=properties)
    await ask("GET", "/virtual_machines/virtual_machine", f"virtual_machine[id]={machine}")
    await ask("GET", "/organizations/organization/virtual_machines", ORGANIZATION)
    await ask("GET", "/organizations/organization/disk_io_profiles", ORGANIZATION)
    for action in ("reset", "stop", "start", "shutdown"):
        await ask("POST", f"/virtual_machines/virtual_machine/{action}", virtual_machine={"id": machine})
    return found


async def test_every_endpoint_of_the_emulator_is_asked() -> None:
    """A new endpoint needs a request in `answers_of`."""
    async with calling(boot_disks=True) as caller:
        assert set(await answers_of(caller)) == set(ENDPOINTS)


@comparing
async def test_every_answer_has_the_shape_of_the_recorded_ones() -> None:
    async with calling(boot_disks=True) as caller:
        answers = await answers_of(caller)
    compared = 0
    for endpoint, ours in answers.items():
        real = recorded_shape(endpoint)
        shape: Shape = {}
        for answer in ours:
            add_to(shape, answer.body)
        for place, keys in shape.items():
            where = f"{endpoint} at {place or 'the top'}"
            documented = documented_keys(documented_success(endpoint), place)
            # What was never recorded, such as a machine in the list of disks, is as documented.
            known = real.get(place, documented)
            assert set(keys) == set(known), where
            for key, kinds in keys.items():
                assert kinds <= known[key] | documented.get(key, set()), f"{where}: {key}"
            compared += place in real
    assert compared > 50


@comparing
async def test_every_answer_has_the_status_and_the_headers_of_the_recorded_ones() -> None:
    async with calling(boot_disks=True) as caller:
        answers = await answers_of(caller)
    for endpoint, ours in answers.items():
        theirs = [recording for recording in recorded().get(endpoint, ()) if recording["status"] < 300]
        for answer in ours:
            assert {recording["status"] for recording in theirs} <= {answer.status}
            for recording in theirs:
                assert set(recording["headers"]) <= {name.lower() for name in answer.headers}
                assert recording["headers"]["cache-control"] == answer.headers["Cache-Control"]


def refusals() -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    for endpoint, recordings in recorded().items():
        if endpoint in ENDPOINTS:
            yield from ((endpoint, recording) for recording in recordings if recording["status"] >= 400)


@comparing
async def test_the_recorded_refusals_are_refused_alike() -> None:
    count = 0
    async with calling() as caller:
        for (method, path), recording in refusals():
            query = f"?{recording['query']}" if recording["query"] else ""
            body = recording["request"]
            if recording["response"]["error"]["code"] == "unassigned_disk":
                body = {"disk": {"id": caller.emulator.disk_ids[0]}}
            answer = await caller.ask(method, path + query, body)
            assert (answer.status, answer.body) == (recording["status"], recording["response"])
            assert set(recording["headers"]) <= {name.lower() for name in answer.headers}
            assert "etag" not in recording["headers"]
            assert recording["headers"]["cache-control"] == answer.headers["Cache-Control"]
            count += 1
    assert count >= 14
