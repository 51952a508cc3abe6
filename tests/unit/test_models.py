"""The API's objects decode whatever the server adds, and show no secret."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest
from msgspec import UNSET

from katapult_async.models import Disk, DiskState, Secret, VirtualMachine, lookups, requests
from katapult_async.models.responses import DiskPage, DiskResponse, VirtualMachineResponse

FULL: dict[str, object] = {
    "disk": {
        "id": "disk_0000000000000001",
        "name": "Data",
        "size_in_gb": 20,
        "wwn": "00",
        "state": "built",
        "created_at": 1_700_000_000,
        "storage_speed": "nvme",
        "io_profile": {
            "id": "diop_1",
            "name": "Unrestricted",
            "permalink": "u",
            "speed_in_mb": None,
            "iops": None,
        },
        "bus_type": None,
        "data_center": {"id": "loc_1", "name": "Here", "permalink": "here-01"},
        "virtual_machine_disk": {
            "virtual_machine": {"id": "vm_1", "fqdn": "one.example"},
            "attach_on_boot": True,
            "boot": False,
            "state": "detached",
        },
        "installation": {
            "id": "dinst_1",
            "disk_template_version": {
                "number": 3,
                "stable": True,
                "disk_template": {
                    "id": "dtpl_1",
                    "operating_system": {
                        "id": "os_1",
                        "badge": {"url": "https://x", "file_size": 5, "token": "badge-token"},
                    },
                },
            },
            "attributes": [{"key": "root_password", "value": "hunter2", "protect": True}],
        },
    },
    "annotations": [],
}


def test_the_assign_page_decodes_down_to_the_badge() -> None:
    disk = msgspec.json.decode(msgspec.json.encode(FULL), type=DiskResponse).disk
    assert disk.state is DiskState.BUILT
    assert disk.virtual_machine_disk
    assert disk.virtual_machine_disk.virtual_machine.id == "vm_1"
    assert disk.io_profile
    assert disk.io_profile.iops is None
    assert disk.bus_type is None
    assert disk.installation
    version = disk.installation.disk_template_version
    assert version
    assert version.disk_template
    system = version.disk_template.operating_system
    assert system
    assert system.badge
    assert system.badge.file_size == 5


def test_passwords_and_tokens_are_kept_and_not_shown() -> None:
    response = msgspec.json.decode(msgspec.json.encode(FULL), type=DiskResponse)
    installation = response.disk.installation
    assert installation
    assert installation.attributes
    assert installation.attributes[0].value == Secret("hunter2")
    version = installation.disk_template_version
    assert version
    assert version.disk_template
    system = version.disk_template.operating_system
    assert system
    assert system.badge
    assert system.badge.token == Secret("badge-token")
    machine = {"virtual_machine": {"id": "vm_1", "initial_root_password": "hunter2", "state": "started"}}
    decoded = msgspec.json.decode(msgspec.json.encode(machine), type=VirtualMachineResponse)
    assert decoded.virtual_machine.initial_root_password == Secret("hunter2")
    for shown in (repr(response), repr(decoded)):
        assert "***" in shown
        assert "hunter2" not in shown
        assert "badge-token" not in shown


def test_what_a_partial_object_lacks_is_unset_and_null_is_none() -> None:
    disk = msgspec.json.decode(b'{"id":"disk_1","virtual_machine_disk":null}', type=Disk)
    assert disk.virtual_machine_disk is None
    assert disk.io_profile is UNSET
    assert msgspec.json.decode(b'{"id":"vm_1"}', type=VirtualMachine).state is UNSET


def test_new_fields_and_new_words_decode() -> None:
    disk = msgspec.json.decode(b'{"id":"disk_1","state":"teleporting","colour":{"a":[1]}}', type=Disk)
    assert isinstance(disk.state, DiskState)
    assert disk.state == "teleporting"
    assert str(disk.state) == "teleporting"
    assert not disk.state.is_known
    assert DiskState.BUILT.is_known


def test_an_unknown_word_behaves_like_a_member() -> None:
    word = msgspec.json.decode(b'"teleporting"', type=DiskState)
    again = msgspec.json.decode(b'"teleporting"', type=DiskState)
    assert word == again
    assert hash(word) == hash(again)
    assert word != DiskState.BUILT
    assert {word: 1}[again] == 1
    assert pickle.loads(pickle.dumps(word)) == word
    assert pickle.loads(pickle.dumps(DiskState.BUILT)) is DiskState.BUILT
    assert copy.deepcopy(DiskState.BUILT) is DiskState.BUILT
    assert copy.deepcopy(word) == copy.copy(word) == word
    assert msgspec.json.encode(word) == b'"teleporting"'
    assert "teleporting" not in DiskState.__members__


def test_a_word_that_is_no_text_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b"7", type=DiskState)
    with pytest.raises(ValueError, match="7"):
        DiskState(7)


def test_the_list_of_disks_has_a_singular_key() -> None:
    page = msgspec.json.decode(b'{"pagination":{"total":null},"disk":[{"id":"disk_1"}]}', type=DiskPage)
    assert [disk.id for disk in page.items] == ["disk_1"]


@pytest.mark.parametrize(
    ("lookup", "wire", "query"),
    [
        (lookups.disk("disk_1"), {"id": "disk_1"}, ("disk[id]", "disk_1")),
        (lookups.virtual_machine("vm_1"), {"id": "vm_1"}, ("disk[id]", "vm_1")),
        (lookups.virtual_machine("a.example"), {"fqdn": "a.example"}, ("disk[fqdn]", "a.example")),
        (lookups.organization("org_1"), {"id": "org_1"}, ("disk[id]", "org_1")),
        (lookups.organization("acme"), {"sub_domain": "acme"}, ("disk[sub_domain]", "acme")),
        (lookups.data_center("dc_1"), {"id": "dc_1"}, ("disk[id]", "dc_1")),
        (lookups.data_center("loc_1"), {"id": "loc_1"}, ("disk[id]", "loc_1")),
        (lookups.data_center("uk-lon-01"), {"permalink": "uk-lon-01"}, ("disk[permalink]", "uk-lon-01")),
        (lookups.io_profile("diop_1"), {"id": "diop_1"}, ("disk[id]", "diop_1")),
        (lookups.io_profile("fast"), {"permalink": "fast"}, ("disk[permalink]", "fast")),
    ],
)
def test_lookups_name_exactly_one_thing(
    lookup: lookups.Lookup, wire: dict[str, str], query: tuple[str, str]
) -> None:
    assert msgspec.json.decode(msgspec.json.encode(lookup)) == wire
    assert lookup.query("disk") == query


def test_a_lookup_that_names_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="names nothing"):
        lookups.Lookup().query("disk")


def test_what_is_unset_does_not_go_out() -> None:
    body = requests.UpdateDisk(lookups.disk("disk_1"), requests.DiskArguments(name="new"))
    assert msgspec.json.decode(msgspec.json.encode(body)) == {
        "disk": {"id": "disk_1"},
        "properties": {"name": "new"},
    }
