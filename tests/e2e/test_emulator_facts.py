"""What the real API was seen to do, one fact a test: the emulator answers alike."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp
import pytest

from katapult_async import Client
from katapult_async.testing import KatapultEmulator
from tests.caller import MOMENT, ORGANIZATION, Answer, Caller, calling

DISKS = f"/organizations/organization/disks?{ORGANIZATION}"
MACHINES = f"/organizations/organization/virtual_machines?{ORGANIZATION}"


def detail_of(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = answer.body["error"]["detail"]
    return found


async def task_at(caller: Caller, task: str) -> tuple[str, bool, int]:
    """Its status, whether it has begun, and its progress."""
    body = (await caller.ask("GET", f"/tasks/task?task[id]={task}")).body["task"]
    return body["status"], body["started_at"] is not None, body["progress"]


async def test_unassigning_what_is_on_no_machine_is_a_200_that_changes_nothing() -> None:
    async with calling() as caller:
        answer = await caller.on_disk("unassign")
        assert (answer.status, answer.body["disk"]["virtual_machine_disk"]) == (200, None)
        assert not caller.emulator.ledger.applied


async def test_a_disk_shrinks_unless_its_machine_runs() -> None:
    async with calling() as caller:
        free = await caller.on_disk("resize", size_in_gb=10)
        await caller.assign(1)
        running = await caller.on_disk("resize", 1, size_in_gb=10)
        machine = caller.emulator.world.virtual_machines[caller.emulator.virtual_machine_ids[0]]
        machine.state = "stopped"
        stopped = await caller.on_disk("resize", 1, size_in_gb=10)
    assert (free.status, free.body["task"]["name"]) == (200, "Shrink disk")
    assert (running.status, running.code) == (422, "validation_error")
    assert (stopped.status, stopped.body["task"]["name"]) == (200, "Shrink disk")


async def test_tasks_have_the_names_of_the_real_ones() -> None:
    async with calling() as caller:
        names = [(await caller.create()).body["task"]["name"]]
        profile = {"permalink": "moderate"}
        names.append((await caller.on_disk("io_profile", io_profile=profile)).body["task"]["name"])
        for method in ("online", "offline"):
            size = 30 if method == "online" else 40
            answer = await caller.on_disk("resize", size_in_gb=size, resize_method=method)
            names.append(answer.body["task"]["name"])
        await caller.assign(1)
        names.append((await caller.on_disk("attach", 1)).body["task"]["name"])
        caller.time += 1
        names.append((await caller.on_disk("detach", 1)).body["task"]["name"])
    assert names == [
        "Build disk",
        "Change disk IO profile",
        "Grow disk online",
        "Grow disk",
        "Attach disk to virtual machine",
        "Detach disk from virtual machine",
    ]


async def test_a_task_is_pending_before_it_runs() -> None:
    async with calling(task_duration=8.0) as caller:
        task = (await caller.create()).body["task"]["id"]
        seen = list[tuple[str, bool, int]]()
        for seconds in (0, 1.9, 2, 5, 8):
            caller.time = MOMENT + seconds
            seen.append(await task_at(caller, task))
    assert seen == [
        ("pending", False, 0),
        ("pending", False, 0),
        ("running", True, 0),
        ("running", True, 50),
        ("completed", True, 100),
    ]


async def test_the_bus_type_can_be_changed() -> None:
    async with calling() as caller:
        disk = caller.emulator.disk_ids[0]
        body = {"disk": {"id": disk}, "properties": {"bus_type": "virtio"}}
        answer = await caller.ask("PATCH", "/disks/disk", body)
        assert (answer.status, answer.body["disk"]["bus_type"]) == (200, "virtio")
        assert (await caller.read(disk))["disk"]["bus_type"] == "virtio"
        body["properties"]["bus_type"] = "ide"
        assert (await caller.ask("PATCH", "/disks/disk", body)).code == "invalid_argument"


async def test_annotations_are_stored_and_returned() -> None:
    async with calling() as caller:
        made = await caller.create(annotations=[{"key": "rack", "value": "7"}])
        disk = made.body["disk"]["id"]
        body = {"disk": {"id": disk}, "properties": {}, "annotations": [{"key": "role", "value": "db"}]}
        before = (await caller.read(disk))["annotations"]
        changed = (await caller.ask("PATCH", "/disks/disk", body)).body["annotations"]
        del body["annotations"]
        kept = (await caller.ask("PATCH", "/disks/disk", body)).body["annotations"]
        after = (await caller.read(disk))["annotations"]
    assert made.body["annotations"] == before == [{"key": "rack", "value": "7"}]
    assert changed == kept == after == [{"key": "role", "value": "db"}]


async def test_annotations_filter_lists() -> None:
    async with calling(disks=3, virtual_machines=2) as caller:
        one, two, _ = (caller.emulator.world.disks[disk] for disk in caller.emulator.disk_ids)
        one.annotations = {"rack": "7", "role": "db"}
        two.annotations = {"rack": "8"}
        machine = caller.emulator.world.virtual_machines[caller.emulator.virtual_machine_ids[1]]
        machine.annotations = {"rack": "7"}

        async def listed(path: str, **wanted: str) -> list[str]:
            query = "".join(
                f"&annotations[][key]={key}&annotations[][value]={value}" for key, value in wanted.items()
            )
            body = (await caller.ask("GET", path + query)).body
            return [thing["id"] for thing in body.get("disk", body.get("virtual_machines"))]

        assert await listed(DISKS, rack="7") == [one.id]
        assert await listed(DISKS, rack="7", role="db") == [one.id]
        assert await listed(DISKS, rack="8", role="db") == []
        assert len(await listed(DISKS)) == 3
        assert await listed(MACHINES, rack="7") == [machine.id]
        key_alone = (await caller.ask("GET", DISKS + "&annotations[][key]=rack")).body["disk"]
        assert [disk["id"] for disk in key_alone] == [one.id, two.id]


@pytest.mark.parametrize("attach", [False, True])
async def test_a_disk_is_created_on_a_machine(*, attach: bool) -> None:
    async with calling(task_duration=1.0) as caller:
        machine = caller.emulator.virtual_machine_ids[0]
        bond = {"virtual_machine": {"id": machine}, "attach_on_boot": False, "attach": attach}
        made = (await caller.create(virtual_machine_disk=bond)).body["disk"]
        assert made["virtual_machine_disk"]["virtual_machine"]["id"] == machine
        assert made["virtual_machine_disk"]["state"] == "detached"
        assert made["virtual_machine_disk"]["attach_on_boot"] is False
        caller.time += 1
        built = (await caller.read(made["id"]))["disk"]
        assert built["virtual_machine_disk"]["state"] == ("attached" if attach else "detached")


@pytest.mark.parametrize(
    ("annotations", "issue", "path"),
    [
        ("rack", "array_expected", ["annotations"]),
        (["rack"], "object_expected", ["annotations"]),
        ([{"key": "rack", "value": 7}], "invalid_scalar", ["annotations", "value"]),
        ([{"value": "7"}], None, ["annotations", "key"]),
    ],
)
async def test_annotations_that_are_none(annotations: object, issue: str | None, path: list[str]) -> None:
    async with calling() as caller:
        answer = await caller.create(annotations=annotations)
        assert len(caller.emulator.world.disks) == 100
    assert answer.status == 400
    assert (detail_of(answer).get("issue"), detail_of(answer)["path"]) == (issue, path)


async def test_a_query_that_contradicts_itself_is_no_error_of_the_server() -> None:
    async with calling() as caller:
        twice = "&annotations=x&annotations[][key]=rack"
        assert (await caller.ask("GET", DISKS + twice)).status == 400
        again = "&annotations[][key]=rack&annotations[key]=x"
        assert (await caller.ask("GET", DISKS + again)).status == 200


async def test_a_disk_is_not_created_on_a_machine_that_is_nowhere() -> None:
    async with calling() as caller:
        count = len(caller.emulator.world.disks)
        nowhere = await caller.create(virtual_machine_disk={"virtual_machine": {"fqdn": "nowhere.test"}})
        elsewhere = {"virtual_machine": {"id": caller.emulator.virtual_machine_ids[0]}}
        other = await caller.create(
            data_center={"permalink": "em-two-01"}, virtual_machine_disk={**elsewhere, "attach": True}
        )
        wrong = await caller.create(virtual_machine_disk={**elsewhere, "attach": "perhaps"})
        assert [answer.status for answer in (nowhere, other, wrong)] == [404, 422, 400]
        assert len(caller.emulator.world.disks) == count


async def test_nothing_is_attached_to_a_stopped_machine() -> None:
    async with calling(disks=2, virtual_machines=1, boot_disks=True) as caller:
        world, (machine_id,) = caller.emulator.world, caller.emulator.virtual_machine_ids
        machine = world.virtual_machines[machine_id]
        (boot,) = (disk.id for disk in world.disks.values() if disk.boot)

        async def states() -> list[str]:
            path = f"/virtual_machines/virtual_machine/disks?virtual_machine[id]={machine_id}"
            return [entry["state"] for entry in (await caller.ask("GET", path)).body["disks"]]

        for number, disk in enumerate(caller.emulator.disk_ids):
            await caller.assign(number)
            world.disks[disk].attachment = "attached"
        world.disks[caller.emulator.disk_ids[1]].attach_on_boot = False
        assert await states() == ["attached"] * 3
        machine.state = "stopped"  # as a test may do it
        assert await states() == ["detached"] * 3
        assert (await caller.read(boot))["disk"]["virtual_machine_disk"]["state"] == "detached"
        assert (await caller.on_disk("detach")).code == "task_queueing_error"
        world.stop(machine)
        world.start(machine)
        assert await states() == ["attached", "attached", "detached"]
        world.stop(machine)
        assert (await caller.on_disk("unassign")).status == 200
        body = {"disk": {"id": boot}}
        assert (await caller.ask("POST", "/disks/disk/unassign", body)).code == "unable_to_unassign"


async def test_a_boot_disk_carries_the_password_of_its_installation() -> None:
    async with calling(virtual_machines=1, boot_disks=True) as caller:
        boot = next(disk.id for disk in caller.emulator.world.disks.values() if disk.boot)
        (attribute,) = (await caller.read(boot))["disk"]["installation"]["attributes"]
        assert (attribute["protect"], attribute["value"]) == (True, "emulated-root-password")
        assert (await caller.read(caller.emulator.disk_ids[0]))["disk"]["installation"] is None
        async with Client("token", base_url=caller.emulator.url) as client:
            disk = await client.disks.get(boot)
    assert disk.installation
    assert "emulated-root-password" not in repr(disk)


async def test_the_list_of_disks_names_no_machine() -> None:
    async with calling() as caller:
        await caller.assign()
        listed = (await caller.ask("GET", DISKS)).body["disk"][0]
    assert set(listed["virtual_machine_disk"]["virtual_machine"]) == {"id", "fqdn"}


async def test_answers_have_the_headers_of_the_real_ones() -> None:
    async with calling() as caller:
        disk = f"/disks/disk?disk[id]={caller.emulator.disk_ids[0]}"
        good, again = await caller.ask("GET", disk), await caller.ask("GET", disk)
        changed, bad = await caller.assign(), await caller.ask("GET", "/disks/disk?disk[id]=none")
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', good.headers["ETag"])
    assert good.headers["ETag"] == again.headers["ETag"] != changed.headers["ETag"]
    assert good.headers["Cache-Control"] == "max-age=0, private, must-revalidate"
    assert "ETag" not in bad.headers
    assert bad.headers["Cache-Control"] == "no-cache"
    for answer in (good, bad):
        assert {"Vary", "Strict-Transport-Security", "Access-Control-Allow-Origin"} <= set(answer.headers)


async def test_a_400_says_which_argument_as_an_object() -> None:
    async with calling() as caller:
        disk = {"id": caller.emulator.disk_ids[0]}
        missing = await caller.ask("POST", "/disks/disk/assign", {"disk": disk})
        inner = await caller.ask(
            "PATCH",
            "/disks/disk",
            {"disk": disk, "properties": {"virtual_machine_disk": {"attach_on_boot": "perhaps"}}},
        )
    assert missing.code == "missing_required_argument"
    assert detail_of(missing)["path"] == ["virtual_machine"]
    assert set(detail_of(missing)["argument"]) == {"id", "name", "description"}
    assert detail_of(missing)["argument"]["name"] == "virtual_machine"
    assert inner.code == "invalid_argument"
    assert (
        inner.body["error"]["description"]
        == "The 'properties.virtual_machine_disk.attach_on_boot' argument is invalid"
    )
    assert detail_of(inner)["path"] == ["properties", "virtual_machine_disk", "attach_on_boot"]
    assert detail_of(inner)["argument"]["name"] == "attach_on_boot"


@pytest.mark.parametrize(
    ("changed", "issue"),
    [
        ({"disk": "disk_x"}, "object_expected"),
        ({"disk": {}}, "missing_lookup_value"),
        ({"virtual_machine": {"id": "vm_x", "fqdn": "x.test"}}, "ambiguous_lookup_values"),
        ({"disk": {"id": 5}}, "invalid_scalar"),
    ],
)
async def test_issues_have_the_words_of_the_framework(changed: dict[str, object], issue: str) -> None:
    async with calling() as caller:
        body = {"disk": {"id": "disk_x"}, "virtual_machine": {"id": "vm_x"}, **changed}
        answer = await caller.ask("POST", "/disks/disk/assign", body)
    assert (answer.status, detail_of(answer)["issue"]) == (400, issue)


@pytest.mark.parametrize("per_page", ["201", "0", "500"])
async def test_pages_of_more_than_200_are_refused(per_page: str) -> None:
    async with calling() as caller:
        answer = await caller.ask("GET", f"{DISKS}&per_page={per_page}")
        assert (await caller.ask("GET", DISKS + "&per_page=200")).status == 200
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert detail_of(answer)["issue"] == "validation_errors"
    assert detail_of(answer)["path"] == ["per_page"]
    assert len(detail_of(answer)["errors"]) == 1


@pytest.mark.parametrize(
    ("size", "status"),
    [
        (30, 200),
        ("30", 200),
        ("3e1", 400),
        (" 30", 400),
        ("30\n", 400),
        (30.0, 400),
        (True, 400),
        ("٣٠", 400),
    ],
)
async def test_integers_are_json_integers_or_plain_digits(size: object, status: int) -> None:
    async with calling() as caller:
        answer = await caller.on_disk("resize", size_in_gb=size)
    assert answer.status == status
    if status == 400:
        assert detail_of(answer)["issue"] == "parse_error"


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("name", ["disk", "_", ":disk", "disk_whatever"])
async def test_the_path_may_name_the_object_in_any_way(name: str, end: str) -> None:
    async with calling() as caller:
        disk = caller.emulator.disk_ids[0]
        read = await caller.ask("GET", f"/disks/{name}{end}?disk[id]={disk}")
        body = {"disk": {"id": disk}, "virtual_machine": {"id": caller.emulator.virtual_machine_ids[0]}}
        assigned = await caller.ask("POST", f"/disks/{name}/assign{end}", body)
        assert (read.status, assigned.status) == (200, 200)
        assert caller.emulator.ledger.by_path == {"/disks/disk": 1, "/disks/disk/assign": 1}


async def test_the_path_names_the_object_if_the_arguments_do_not() -> None:
    async with calling() as caller:
        disk, machine = caller.emulator.disk_ids[0], caller.emulator.virtual_machine_ids[0]
        body = {"virtual_machine": {"id": machine}}
        assert (await caller.ask("POST", f"/disks/{disk}/assign", body)).status == 200
        assert (await caller.ask("GET", f"/disks/{disk}")).body["disk"]["id"] == disk
        assert (await caller.ask("GET", f"/virtual_machines/{machine}/disks")).body["disks"]
        # So a path that names none asks for a disk with the ID "disk".
        assert (await caller.ask("GET", "/disks/disk")).code == "disk_not_found"
        assert (await caller.ask("GET", "/disks/disk?disk=x")).code == "invalid_argument"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_not_sent_as_json_is_ignored(content_type: str) -> None:
    async with calling() as caller:
        body = {"disk": {"id": caller.emulator.disk_ids[0]}}
        path = f"/disks/disk/unassign?disk[id]={caller.emulator.disk_ids[1]}"
        broken = await caller.ask("POST", path, b"{", content_type=content_type)
        other = await caller.ask("POST", path, body, content_type=content_type)
    assert broken.status == 200
    assert other.body["disk"]["id"] == caller.emulator.disk_ids[1]


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"disk"'])
async def test_a_body_that_is_no_object_counts_as_no_arguments(body: bytes) -> None:
    async with calling() as caller:
        path = f"/disks/disk/assign?disk[id]={caller.emulator.disk_ids[0]}"
        assert (await caller.ask("POST", path, body)).code == "missing_required_argument"


async def test_query_and_body_together_are_the_arguments() -> None:
    async with calling() as caller:
        path = f"/disks/disk/assign?disk[id]={caller.emulator.disk_ids[0]}&virtual_machine[id]=vm_none"
        body = {"virtual_machine": {"id": caller.emulator.virtual_machine_ids[0]}}
        assert (await caller.ask("POST", path, body)).status == 200


@pytest.mark.parametrize(("depth", "status"), [(90, 200), (101, 400), (1_100, 400), (100_000, 400)])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
async def test_json_that_is_nested_deeply_is_a_400(
    opening: str, closing: str, depth: int, status: int
) -> None:
    async with calling() as caller:
        disk = json.dumps(caller.emulator.disk_ids[0])
        nested = opening * (depth - 1) + "1" + closing * (depth - 1)
        body = f'{{"disk":{{"id":{disk}}},"more":{nested}}}'.encode()
        answer = await caller.ask("POST", "/disks/disk/unassign", body)
    assert answer.status == status
    if status == 400:
        assert answer.code == "invalid_json_body"


async def test_the_scopes_of_tasks_and_of_io_profiles_are_the_documented_ones() -> None:
    async with calling() as caller:
        token = caller.emulator.tokens["token"]
        profiles = f"/organizations/organization/disk_io_profiles?{ORGANIZATION}"
        token.scopes = frozenset({"disks"})
        task = await caller.ask("GET", "/tasks/task?task[id]=task_x")
        assert (await caller.ask("GET", profiles)).status == 200
        token.scopes = frozenset({"tasks:read"})
        assert (await caller.ask("GET", "/tasks/task?task[id]=task_x")).code == "task_not_found"
    assert detail_of(task) == {"scopes": ["tasks", "tasks:read"]}


async def test_the_ledger_of_a_running_emulator_can_be_read() -> None:
    async with calling(limit=2, disks=3) as caller:
        emulator = caller.emulator
        emulator.faults.next("reset_after")
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.assign()
        await caller.assign(1)
        await caller.assign(2)
        url = emulator.ledger_url
        async with caller.session.get(url) as response:
            assert response.status == 200
            read = await response.json()
        async with caller.session.post(url) as response:
            assert response.status == 405
        async with caller.session.get(url + "/more") as response:
            assert response.status == 404
        one, two, three = emulator.disk_ids
        machine = emulator.virtual_machine_ids[0]
        assert read["requests"] == 3
        assert (read["refused"], read["in_flight"]) == (1, 0)
        assert read["by_status"] == {"unanswered": 1, "200": 1, "429": 1}
        assert read["by_fault"] == {"reset_after": 1}
        assert read["changes"] == {"assign": {one: 1, two: 1}}
        assert [change["disk"] for change in read["applied"]] == [one, two]
        assert read["assigned"] == {one: machine, two: machine}
        assert three not in json.dumps(read)
        # Reading it is not a request to the API.
        assert emulator.ledger.total == 3


async def test_without_single_changes_the_ledger_still_counts_them() -> None:
    async with calling(keep_ledger=False, disks=1, tokens=("sesame",)) as caller:
        await caller.assign(token="sesame")
        async with caller.session.get(caller.emulator.ledger_url) as response:
            text = await response.text()
    assert json.loads(text)["applied"] is None
    assert json.loads(text)["changes"] == {"assign": {caller.emulator.disk_ids[0]: 1}}
    assert "sesame" not in text


def test_the_same_seed_makes_the_same_cloud() -> None:
    one, two, other = (KatapultEmulator(disks=2, seed=seed) for seed in (1, 1, 2))
    assert one.disk_ids == two.disk_ids != other.disk_ids
