"""Real responses of the API, recorded 2023-2026: every one of a covered endpoint decodes.

The recordings are not part of this project. Where they are not next to the checkout, the examples
in test_models take their place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from katapult_async.errors import CODES, APIError, error_from_response
from katapult_async.ratelimit import read_evidence
from katapult_async.resources import disks, io_profiles, tasks, virtual_machines
from katapult_async.transport import Operation

RECORDINGS = Path(__file__).parents[3] / "shared" / "recorded" / "katapult-core.jsonl"
pytestmark = pytest.mark.skipif(not RECORDINGS.exists(), reason="the recordings are not beside this checkout")

OPERATIONS: dict[tuple[str, str], Operation[Any]] = {
    (operation.method, operation.path): operation
    for module in (disks, io_profiles, tasks, virtual_machines)
    for operation in cast(
        "list[Operation[Any]]", [it for it in vars(module).values() if isinstance(it, Operation)]
    )
}


def recordings() -> Iterator[dict[str, Any]]:
    with RECORDINGS.open() as lines:
        for line in lines:
            recording = json.loads(line)
            recording["path"] = recording["path"].removeprefix("/core/v1")
            yield recording


def test_every_success_of_a_covered_endpoint_decodes() -> None:
    decoded = 0
    for recording in recordings():
        operation = OPERATIONS.get((recording["method"], recording["path"]))
        if operation is not None and recording["status"] < 300:
            body = json.dumps(recording["response"]).encode()
            answer: object = operation.decode(body)
            again = msgspec.json.decode(msgspec.json.encode(answer))
            # What is kept says what was said.
            assert_part(again, recording["response"])
            # Secrets and addresses are redacted in the recordings; nothing that was is shown.
            assert "[REDACTED]" not in repr(answer)
            decoded += 1
    assert decoded >= 370


def assert_part(kept: object, said: Any) -> None:
    if isinstance(kept, dict):
        for key, value in cast("dict[str, object]", kept).items():
            assert_part(value, said[key])
    elif isinstance(kept, list):
        for one, other in zip(cast("list[object]", kept), said, strict=True):
            assert_part(one, other)
    else:
        assert kept in (said, "***")


#: What was said and is not kept, by the last part of its place: personal data, and what
#: disks never need.
NOT_KEPT = {
    *("attached_iso", "gpus", "tags", "suspended_at"),
    *("address1", "address2", "address3", "address4", "postcode", "phone_number", "vat_number"),
    *("billing_name", "country", "country_state", "currency", "uuid"),
    *("icon", "privacy", "group", "allocation_id", "allocation_type", "network", "subnet"),
}


def test_what_is_not_kept_of_a_success_is_left_out_on_purpose() -> None:
    missing: set[str] = set()
    for recording in recordings():
        operation = OPERATIONS.get((recording["method"], recording["path"]))
        if operation is not None and recording["status"] < 300:
            answer: object = operation.decode(json.dumps(recording["response"]).encode())
            missing |= keys_left_out(msgspec.json.decode(msgspec.json.encode(answer)), recording["response"])
    assert missing == NOT_KEPT


def keys_left_out(kept: Any, said: Any) -> set[str]:
    if isinstance(said, list):
        pairs = zip(kept, cast("list[object]", said), strict=True)
        return {key for one, other in pairs for key in keys_left_out(one, other)}
    if not isinstance(said, dict):
        return set()
    found: set[str] = set()
    for key, value in cast("dict[str, object]", said).items():
        found |= keys_left_out(kept[key], value) if key in kept else {key}
    return found


def test_every_refusal_gives_the_class_of_its_code() -> None:
    seen: set[str] = set()
    for recording in recordings():
        if recording["status"] >= 400:
            body = json.dumps(recording["response"]).encode()
            error = error_from_response(recording["status"], {}, body)
            assert isinstance(error, APIError)
            assert error.code == recording["response"]["error"]["code"]
            if error.code is not None and error.code in CODES:
                assert type(error) is CODES[error.code]
                seen.add(error.code)
    assert {"disk_not_found", "virtual_machine_not_found", "unassigned_disk"} <= seen


def test_every_response_tells_about_the_rate_limit() -> None:
    for recording in recordings():
        headers = {name.title(): value for name, value in recording["headers"].items()}
        evidence = read_evidence(recording["status"], headers)
        assert evidence.permitted in {200, 1000}
        assert evidence.remaining is not None
        assert evidence.date is not None
