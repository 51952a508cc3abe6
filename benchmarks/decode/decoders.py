"""The decoders that are compared.

Each returns the decoded object, so that the benchmark can check it. All decoders but those that
return dictionaries are typed: they fail on a response that lacks a field they need.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.peers import peer
from katapult_async.resources import disks

Decode = Callable[[bytes], Any]


@dataclass(frozen=True)
class Decoder:
    """assign, page: bytes -> object. first_id: of what `page` made."""

    name: str
    assign: Decode
    page: Decode
    first_id: Callable[[Any], str]


def sdk() -> Decoder:
    """Msgspec structs: the very decoders of the SDK's endpoints."""
    return Decoder(
        "msgspec structs (the SDK's)", disks.ASSIGN.decode, disks.LIST.decode, lambda page: page.items[0].id
    )


# -- the standard library --------------------------------------------------------------------------


@dataclass(frozen=True)
class Profile:
    id: str
    name: str
    permalink: str
    speed_in_mb: int
    iops: int


@dataclass(frozen=True)
class Centre:
    id: str
    name: str
    permalink: str


@dataclass(frozen=True)
class Machine:
    id: str
    fqdn: str
    name: str | None = None


@dataclass(frozen=True)
class Bond:
    virtual_machine: Machine
    attach_on_boot: bool | None = None
    boot: bool | None = None
    state: str | None = None


@dataclass(frozen=True)
class Disk:
    id: str
    name: str
    size_in_gb: int
    wwn: str
    state: str
    virtual_machine_disk: Bond | None
    created_at: int | None = None
    storage_speed: str | None = None
    io_profile: Profile | None = None
    bus_type: str | None = None
    data_center: Centre | None = None
    installation: dict[str, Any] | None = None


def _disk(fields: dict[str, Any]) -> Disk:
    bond = fields.pop("virtual_machine_disk")
    profile, centre = fields.pop("io_profile", None), fields.pop("data_center", None)
    return Disk(
        virtual_machine_disk=bond and Bond(virtual_machine=Machine(**bond.pop("virtual_machine")), **bond),
        io_profile=profile and Profile(**profile),
        data_center=centre and Centre(**centre),
        **fields,
    )


def dataclasses() -> Decoder:
    """`json.loads` and dataclasses, filled in by hand."""
    return Decoder(
        "json + dataclasses",
        lambda body: _disk(json.loads(body)["disk"]),
        lambda body: [_disk(disk) for disk in json.loads(body)["disk"]],
        lambda page: page[0].id,
    )


def plain_json() -> Decoder:
    return Decoder("json, dictionaries", json.loads, json.loads, lambda page: page["disk"][0]["id"])


# -- others ----------------------------------------------------------------------------------------


def orjson() -> Decoder:
    loads = peer("orjson").loads
    return Decoder("orjson, dictionaries", loads, loads, lambda page: page["disk"][0]["id"])


def pydantic() -> Decoder:
    """Models with the same fields, `model_validate_json`."""
    pydantic = peer("pydantic")

    def model(title: str, /, **fields: Any) -> Any:
        return pydantic.create_model(title, **fields)

    text, number = (str, ...), (int, ...)
    profile = model("Profile", id=text, name=text, permalink=text, speed_in_mb=number, iops=number)
    centre = model("Centre", id=text, name=text, permalink=text)
    machine = model("Machine", id=text, fqdn=text, name=(str | None, None))
    bond = model(
        "Bond",
        virtual_machine=(machine, ...),
        attach_on_boot=(bool | None, None),
        boot=(bool | None, None),
        state=(str | None, None),
    )
    disk = model(
        "Disk",
        id=text,
        name=text,
        size_in_gb=number,
        wwn=text,
        state=text,
        virtual_machine_disk=(bond | None, ...),
        created_at=(int | None, None),
        storage_speed=(str | None, None),
        io_profile=(profile | None, None),
        bus_type=(str | None, None),
        data_center=(centre | None, None),
        installation=(dict[str, Any] | None, None),
    )
    pagination = model(
        "Pagination",
        current_page=number,
        total_pages=(int | None, ...),
        total=(int | None, ...),
        per_page=number,
        large_set=(bool, ...),
    )
    response = model("Response", disk=(disk, ...))
    many: Any = list
    page = model("Page", pagination=(pagination, ...), disk=(many[disk], ...))
    return Decoder(
        "pydantic 2", response.model_validate_json, page.model_validate_json, lambda page: page.disk[0].id
    )
