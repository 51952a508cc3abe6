"""The world changes as the documentation says, and refuses what it says is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from katapult_async.testing.arguments import Arguments
from katapult_async.testing.endpoints import ENDPOINTS
from katapult_async.testing.population import populate
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.world import World

Json = dict[str, Any]
NOW = 1_800_000_000.0


class Cloud:
    """A world of two disks and two machines, the first with a boot disk, and its changes."""

    def __init__(self) -> None:
        self.changes: list[tuple[float, str, str, str | None]] = []
        self.world = World(task_duration=10.0, on_change=self.note)
        (self.disk, self.other), (self.vm, self.vm2) = populate(self.world, 2, 2, boot_disks=True)
        boots = [disk.id for disk in self.world.disks.values() if disk.boot]
        self.boot = boots[0]

    def note(self, now: float, action: str, disk: str, machine: str | None) -> None:
        self.changes.append((now, action, disk, machine))

    def ask(self, method: str, path: str, now: float = NOW, **arguments: Any) -> Any:
        self.world.advance(now)
        status, payload = ENDPOINTS[method, path].answer(self.world, Arguments(arguments), now)
        assert status == (201 if "task" in payload and method == "POST" and "size" in str(arguments) else 200)
        return payload

    def assign(self, now: float = NOW, **changed: Any) -> Any:
        arguments = {"disk": {"id": self.disk}, "virtual_machine": {"id": self.vm}, **changed}
        return self.ask("POST", "/disks/disk/assign", now, **arguments)

    def on_disk(self, action: str, now: float = NOW, disk: str | None = None, **more: Any) -> Any:
        method = "PUT" if action in {"resize", "io_profile"} else "POST"
        return self.ask(method, f"/disks/disk/{action}", now, disk={"id": disk or self.disk}, **more)

    def refusal(self, call: Callable[[], object]) -> tuple[int, str, dict[str, Any]]:
        before = list(self.changes)
        with pytest.raises(Refusal) as caught:
            call()
        assert self.changes == before
        return caught.value.status, caught.value.code, dict(caught.value.detail)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_ids_are_a_prefix_and_sixteen_alphanumerics_the_same_for_the_same_seed(cloud: Cloud) -> None:
    assert re.fullmatch(r"disk_[A-Za-z0-9]{16}", cloud.disk)
    assert re.fullmatch(r"vm_[A-Za-z0-9]{16}", cloud.vm)
    assert Cloud().disk == cloud.disk
    assert World(seed=1).new_id("disk") != World(seed=2).new_id("disk")


def test_assigning_ties_the_disk_to_the_machine_at_once(cloud: Cloud) -> None:
    disk = cloud.assign()["disk"]
    assert disk["virtual_machine_disk"] == {
        "virtual_machine": {"id": cloud.vm, "fqdn": cloud.world.virtual_machines[cloud.vm].fqdn},
        "attach_on_boot": True,
        "boot": False,
        "state": "detached",
    }
    assert cloud.world.disks[cloud.disk].virtual_machine == cloud.vm
    assert cloud.changes == [(NOW, "assign", cloud.disk, cloud.vm)]


def test_a_machine_may_be_looked_up_by_its_name(cloud: Cloud) -> None:
    fqdn = cloud.world.virtual_machines[cloud.vm2].fqdn
    disk = cloud.assign(virtual_machine={"fqdn": fqdn})["disk"]
    assert disk["virtual_machine_disk"]["virtual_machine"]["id"] == cloud.vm2


def _assign_already(cloud: Cloud) -> None:
    cloud.assign()


def _unbuild_the_disk(cloud: Cloud) -> None:
    cloud.world.disks[cloud.disk].state = "building"


def _stop_the_machine(cloud: Cloud) -> None:
    cloud.world.virtual_machines[cloud.vm].state = "stopping"


def _move_the_disk(cloud: Cloud) -> None:
    cloud.world.disks[cloud.disk].data_center = cloud.world.data_centers[1]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_assign_already, "already assigned"),
        (_unbuild_the_disk, "not built"),
        (_stop_the_machine, "stopping"),
        (_move_the_disk, "data centers"),
    ],
)
def test_unable_to_assign(cloud: Cloud, spoil: Callable[[Cloud], None], error: str) -> None:
    spoil(cloud)
    status, code, detail = cloud.refusal(cloud.assign)
    assert (status, code) == (422, "unable_to_assign")
    assert len(detail["errors"]) == 1
    assert error in detail["errors"][0]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"disk": {"id": "disk_none"}}, (404, "disk_not_found")),
        ({"virtual_machine": {"id": "vm_none"}}, (404, "virtual_machine_not_found")),
        ({"virtual_machine": {"fqdn": "nowhere.test"}}, (404, "virtual_machine_not_found")),
        ({"disk": None}, (400, "missing_required_argument")),
        ({"virtual_machine": None}, (400, "missing_required_argument")),
        ({"disk": {}}, (400, "invalid_argument")),
        ({"disk": "disk_x"}, (400, "invalid_argument")),
        ({"disk": {"id": 5}}, (400, "invalid_argument")),
        ({"virtual_machine": {"id": "vm_x", "fqdn": "x.test"}}, (400, "invalid_argument")),
    ],
)
def test_lookups_that_lead_nowhere(cloud: Cloud, changed: Json, expected: tuple[int, str]) -> None:
    assert cloud.refusal(lambda: cloud.assign(**changed))[:2] == expected


def test_lookups_say_what_is_wrong_with_them(cloud: Cloud) -> None:
    issues = list[str]()
    lookups: list[object] = [{}, {"id": "vm_x", "fqdn": "x"}, "vm_x"]
    for lookup in lookups:
        refusal = cloud.refusal(partial(cloud.assign, virtual_machine=lookup))
        issues.append(refusal[2]["issue"])
    assert issues == ["missing_lookup_value", "ambiguous_lookup_values", "object_expected"]


def test_what_is_in_the_trash_says_so(cloud: Cloud) -> None:
    machine = cloud.world.virtual_machines[cloud.vm]
    trash = cloud.world.trash(machine, NOW)
    assert cloud.refusal(cloud.assign) == (
        406,
        "object_in_trash",
        {
            "trash_object": {
                "id": trash.id,
                "keep_until": int(NOW) + 48 * 3600,
                "object_id": cloud.vm,
                "object_type": "VirtualMachine",
            }
        },
    )


def test_denied_objects_answer_permission_denied(cloud: Cloud) -> None:
    cloud.world.denied.add(cloud.disk)
    assert cloud.refusal(cloud.assign)[:2] == (403, "permission_denied")


def test_unassigning_undoes_assigning(cloud: Cloud) -> None:
    cloud.assign()
    assert cloud.on_disk("unassign")["disk"]["virtual_machine_disk"] is None
    assert cloud.changes[-1] == (NOW, "unassign", cloud.disk, cloud.vm)
    cloud.assign()


def test_attached_and_boot_disks_are_not_unassigned(cloud: Cloud) -> None:
    cloud.assign()
    cloud.on_disk("attach")
    attaching = cloud.refusal(lambda: cloud.on_disk("unassign", NOW + 1))
    cloud.world.advance(NOW + 10)
    attached = cloud.refusal(lambda: cloud.on_disk("unassign", NOW + 10))
    boot = cloud.refusal(lambda: cloud.on_disk("unassign", NOW + 10, disk=cloud.boot))
    assert [refusal[:2] for refusal in (attaching, attached, boot)] == [(422, "unable_to_unassign")] * 3
    assert "Boot disk" in boot[2]["errors"][0]


def test_attaching_takes_a_task_until_it_has_come_due(cloud: Cloud) -> None:
    cloud.assign()
    answer = cloud.on_disk("attach")
    # The answer shows the disk as it was before, and the task as not begun.
    assert answer["disk"]["virtual_machine_disk"]["state"] == "detached"
    assert answer["task"]["status"] == "pending"
    seen = list[tuple[str, str, int, bool]]()
    for now in (NOW + 5, NOW + 9.9, NOW + 10):
        task = cloud.ask("GET", "/tasks/task", now, task={"id": answer["task"]["id"]})["task"]
        disk = cloud.ask("GET", "/disks/disk", now, disk={"id": cloud.disk})["disk"]
        finished = task["finished_at"] is not None
        seen.append((disk["virtual_machine_disk"]["state"], task["status"], task["progress"], finished))
    assert seen == [
        ("attaching", "running", 33, False),
        ("attaching", "running", 98, False),
        ("attached", "completed", 100, True),
    ]
    assert cloud.changes[-1] == (NOW + 10, "attach", cloud.disk, cloud.vm)


def test_detaching_takes_a_task_too(cloud: Cloud) -> None:
    cloud.assign()
    cloud.on_disk("attach")
    cloud.on_disk("detach", NOW + 10)
    assert cloud.world.disks[cloud.disk].attachment == "detaching"
    cloud.world.advance(NOW + 20)
    assert cloud.world.disks[cloud.disk].attachment == "detached"


def test_failed_tasks_leave_their_mark(cloud: Cloud) -> None:
    cloud.assign()
    cloud.world.tasks_fail = True
    cloud.on_disk("resize", size_in_gb=50)
    cloud.on_disk("io_profile", io_profile={"permalink": "moderate"})
    task = cloud.on_disk("attach")["task"]["id"]
    cloud.world.advance(NOW + 10)
    disk = cloud.world.disks[cloud.disk]
    assert (disk.attachment, disk.size_in_gb, disk.io_profile.permalink) == ("failed", 20, "unrestricted")
    assert cloud.ask("GET", "/tasks/task", task={"id": task})["task"]["status"] == "failed"
    assert [change[1] for change in cloud.changes] == ["assign"]


def test_tasks_that_cannot_be_queued(cloud: Cloud) -> None:
    assert cloud.refusal(lambda: cloud.on_disk("attach"))[:2] == (422, "unassigned_disk")
    cloud.assign()
    detached = cloud.refusal(lambda: cloud.on_disk("detach"))
    cloud.world.virtual_machines[cloud.vm].state = "migrating"
    moving = cloud.refusal(lambda: cloud.on_disk("attach"))
    cloud.world.virtual_machines[cloud.vm].state = "started"
    cloud.world.refuse_tasks = True
    full = cloud.refusal(lambda: cloud.on_disk("attach"))
    assert {refusal[:2] for refusal in (detached, moving, full)} == {(406, "task_queueing_error")}
    assert cloud.world.disks[cloud.disk].attachment == "detached"


def test_tasks_change_size_and_io_profile(cloud: Cloud) -> None:
    cloud.on_disk("resize", size_in_gb=50, resize_method="online")
    assert cloud.world.disks[cloud.disk].state == "resizing"
    cloud.on_disk("io_profile", io_profile={"permalink": "moderate"})
    cloud.world.advance(NOW + 10)
    disk = cloud.world.disks[cloud.disk]
    assert (disk.state, disk.size_in_gb, disk.io_profile.iops) == ("built", 50, 20_000)


@pytest.mark.parametrize(
    ("action", "arguments", "expected"),
    [
        ("resize", {"size_in_gb": 20}, (422, "validation_error")),
        ("resize", {"size_in_gb": "many"}, (400, "invalid_argument")),
        ("resize", {"size_in_gb": True}, (400, "invalid_argument")),
        ("resize", {"size_in_gb": 30, "resize_method": "magic"}, (400, "invalid_argument")),
        ("io_profile", {"io_profile": {"id": "diop_none"}}, (404, "disk_io_profile_not_found")),
    ],
)
def test_refused_changes_of_a_disk(
    cloud: Cloud, action: str, arguments: Json, expected: tuple[int, str]
) -> None:
    assert cloud.refusal(lambda: cloud.on_disk(action, **arguments))[:2] == expected


def test_creating_a_disk_builds_it(cloud: Cloud) -> None:
    answer = cloud.ask(
        "POST",
        "/organizations/organization/disks",
        organization={"sub_domain": "acme"},
        properties={
            "name": "data",
            "size_in_gb": 5,
            "data_center": {"permalink": "em-two-01"},
            "io_profile": {"permalink": "moderate"},
            "bus_type": "virtio",
            "storage_speed": "ssd",
        },
    )
    made = answer["disk"]
    assert (made["state"], made["bus_type"], made["storage_speed"]) == ("not_built", "virtio", "ssd")
    cloud.world.advance(NOW + 10)
    assert cloud.world.disks[made["id"]].state == "built"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"name": ""}, (422, "validation_error")),
        ({"size_in_gb": 0}, (422, "validation_error")),
        ({"data_center": {"id": "loc_none"}}, (404, "data_center_not_found")),
        ({"bus_type": "ide"}, (400, "invalid_argument")),
    ],
)
def test_disks_that_cannot_be_created(cloud: Cloud, changed: Json, expected: tuple[int, str]) -> None:
    properties = {"name": "x", "size_in_gb": 5, "data_center": {"permalink": "em-one-01"}, **changed}

    def create() -> None:
        cloud.ask(
            "POST",
            "/organizations/organization/disks",
            organization={"id": cloud.world.organization.id},
            properties=properties,
        )

    assert cloud.refusal(create)[:2] == expected


def test_updating_a_disk(cloud: Cloud) -> None:
    def update(**properties: Any) -> Any:
        return cloud.ask("PATCH", "/disks/disk", disk={"id": cloud.disk}, properties=properties)

    assert update(name="new")["disk"]["name"] == "new"
    off = {"attach_on_boot": False}
    assert cloud.refusal(lambda: update(virtual_machine_disk=off))[:2] == (422, "unassigned_disk")
    assert cloud.refusal(lambda: update(name=""))[:2] == (422, "validation_error")
    assert cloud.refusal(lambda: update(name=5))[:2] == (400, "invalid_argument")
    assert cloud.refusal(lambda: update(virtual_machine_disk=5))[:2] == (400, "invalid_argument")
    wrong = {"attach_on_boot": "perhaps"}
    assert cloud.refusal(lambda: update(virtual_machine_disk=wrong))[:2] == (400, "invalid_argument")
    cloud.assign()
    answer = update(virtual_machine_disk=off)
    assert answer["disk"]["virtual_machine_disk"]["attach_on_boot"] is False


def test_deleting_a_disk_puts_it_into_the_trash_unless_it_is_assigned(cloud: Cloud) -> None:
    def delete() -> Any:
        return cloud.ask("DELETE", "/disks/disk", disk={"id": cloud.disk})

    cloud.assign()
    assert cloud.refusal(delete)[:2] == (422, "validation_error")
    cloud.on_disk("unassign")
    assert delete()["trash_object"]["object_id"] == cloud.disk
    assert cloud.refusal(delete)[:2] == (406, "object_in_trash")
    listed = cloud.ask("GET", "/organizations/organization/disks", organization={"sub_domain": "acme"})
    assert cloud.disk not in {disk["id"] for disk in listed["disk"]}


def test_lists_in_their_partial_forms(cloud: Cloud) -> None:
    cloud.assign()
    organization = {"sub_domain": "acme"}
    disks = cloud.ask("GET", "/organizations/organization/disks", organization=organization)["disk"]
    assert set(disks[0]) == {"id", "name", "size_in_gb", "wwn", "state", "virtual_machine_disk"}
    of_machine = cloud.ask(
        "GET", "/virtual_machines/virtual_machine/disks", virtual_machine={"id": cloud.vm}
    )["disks"]
    assert [(entry["boot"], entry["state"]) for entry in of_machine] == [
        (True, "attached"),
        (False, "detached"),
    ]
    machines = cloud.ask("GET", "/organizations/organization/virtual_machines", organization=organization)
    assert "state" not in machines["virtual_machines"][0]
    profiles = cloud.ask("GET", "/organizations/organization/disk_io_profiles", organization=organization)
    assert profiles["disk_io_profiles"][0]["iops"] is None
    whole = cloud.ask("GET", "/virtual_machines/virtual_machine", virtual_machine={"id": cloud.vm})
    assert whole["virtual_machine"]["state"] == "started"
    assert whole["virtual_machine"]["initial_root_password"]


def test_other_organizations_and_tasks_are_not_found(cloud: Cloud) -> None:
    path = "/organizations/organization/disks"
    other = {"sub_domain": "other"}
    assert cloud.refusal(lambda: cloud.ask("GET", path, organization=other))[1] == "organization_not_found"
    task = {"id": "task_none"}
    assert cloud.refusal(lambda: cloud.ask("GET", "/tasks/task", task=task))[1] == "task_not_found"


@pytest.mark.parametrize("page", [{"page": "0"}, {"page": "one"}, {"per_page": 0}])
def test_pages_that_are_none(cloud: Cloud, page: Json) -> None:
    def ask() -> None:
        cloud.ask("GET", "/organizations/organization/disks", organization={"sub_domain": "acme"}, **page)

    assert cloud.refusal(ask)[:2] == (400, "invalid_argument")
