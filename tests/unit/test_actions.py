"""Items of any shape, and the words of outcomes: what is decided without a request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from katapult_async import Assignment, Outcome, OutcomeStatus
from katapult_async.bulk import Words, fields_of, read_as
from katapult_async.bulk.look_ahead import LookAhead
from katapult_async.models import Disk
from katapult_async.resources import DiskUpdate, IOProfileChange, Machine, NewDisk, Resize

S = OutcomeStatus


def test_the_statuses_are_few_and_the_old_names_are_names_of_the_same() -> None:
    assert [status.value for status in S] == ["done", "already_done", "failed", "unknown", "not_attempted"]
    assert {S.ASSIGNED, S.UNASSIGNED, S.ATTACHED, S.DETACHED} == {S.DONE}
    assert {S.ALREADY_ASSIGNED, S.ALREADY_DETACHED} == {S.ALREADY_DONE}
    assert S("assigned") is S.DONE  # as a pickle of an older version has it
    assert S("already_attached") is S.ALREADY_DONE
    with pytest.raises(ValueError, match="lost"):
        S("lost")


def test_an_outcome_has_the_word_of_its_action_and_its_old_names() -> None:
    words = Words("assigned", "already_assigned")
    item, disk = Assignment("disk_1", "vm_1"), Disk(id="disk_1")
    outcome = Outcome(item=item, status=S.DONE, result=disk, finished_at=0.0, words=words)
    assert (outcome.word, outcome.assignment, outcome.disk) == ("assigned", item, disk)
    known = {status: words.of(status) for status in S}
    assert Counter(known.values()) == Counter(
        ["assigned", "already_assigned", "failed", "unknown", "not_attempted"]
    )
    assert Outcome(item="x", status=S.DONE, result="y", finished_at=0.0).disk is None


@dataclass(frozen=True)
class Own:
    name: str
    size: int = 1
    virtual_machine: object = None


def test_items_may_be_given_as_tuples_of_their_fields() -> None:
    assert read_as(Resize, ("disk_1", 50)) == Resize("disk_1", 50)
    assert read_as(Machine, "vm_1") == Machine("vm_1")
    assert read_as(Own, ["a", 2]) == Own("a", 2)
    assert read_as(Own, own := Own("b")) is own
    assert fields_of(Resize) == (2, ("disk", "size_in_gb", "resize_method", "virtual_machine"))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (("disk_1",), r"expected Resize\(disk, size_in_gb, .*\), found 1 field$"),
        (("disk_1", 50, "online", "vm_1", 5), "found 5 fields"),
        ({"disk": "disk_1"}, "a mapping is not an item"),
        (None, "None is not an item"),
        (("disk_1", "50"), "whole number of gigabytes, for example 50, not '50'"),
        (("disk_1", True), "not True"),
        (("disk_1", 0), "not 0"),
        (("vm_1", 50), "vm_1 is a virtual machine, not a disk"),
        (("disk 1", 50), "a disk is named by its ID"),
    ],
)
def test_what_is_no_item_is_refused_in_one_sentence(item: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        read_as(Resize, item)


def test_a_machine_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="give its ID or FQDN"):
        read_as(Own, Own("a", virtual_machine=7))


def test_items_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="disk_1 is a disk, not a virtual machine"):
        Machine("disk_1")
    with pytest.raises(ValueError, match="by its ID or its FQDN"):
        Resize("disk_1", 50, virtual_machine="a b")
    with pytest.raises(ValueError, match="io_profile is a text that is not empty"):
        IOProfileChange("disk_1", "")
    with pytest.raises(ValueError, match="nothing is given to change about disk_1"):
        DiskUpdate("disk_1")
    with pytest.raises(ValueError, match="name is a text that is not empty"):
        NewDisk("acme", " ", "loc_1", 10)
    assert [
        str(item)
        for item in (
            Resize("disk_1", 50),
            IOProfileChange("disk_1", "fast"),
            DiskUpdate("disk_1", name="a"),
            DiskUpdate("disk_1", attach_on_boot=True),
            NewDisk("acme", "data", "loc_1", 10),
            Machine("vm_1"),
        )
    ] == ["disk_1 -> 50 GB", "disk_1 -> fast", "disk_1 -> a", "disk_1", "data (10 GB)", "vm_1"]


def test_items_without_a_machine_are_never_parked() -> None:
    ahead: LookAhead[str] = LookAhead(per_machine=1, bound=10)
    assert all(ahead.offer(item) for item in ("a", "b", "c"))
    assert not any(ahead.finished(item) for item in ("a", "b", "c"))
