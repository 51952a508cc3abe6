"""Items of a run, and the checks that reject every other object before a request is sent.

The checks reject mappings, sets and strings by type. `Assignment(*item)` alone would accept them
and use two keys, elements or characters as the disk and the machine.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, cast

import msgspec

from katapult_async.models import Disk, lookups


class Assignment(msgspec.Struct, frozen=True):
    """One disk and one virtual machine.

    Args:
        disk: ID (`disk_…`).
        virtual_machine: ID (`vm_…`) or fully qualified domain name. May be None for actions that do
            not need it (unassign, attach, detach, delete).

    Raises:
        ValueError: If a field is not a valid name, for example because both are swapped.
    """

    disk: str
    virtual_machine: str | None = None

    def __post_init__(self) -> None:
        machine = self.virtual_machine
        if _are_usual(self.disk, machine):
            return
        if not _is_word(self.disk):
            raise ValueError(f"a disk is named by its ID, for example disk_…, not by {self.disk!r}")
        if machine is not None and not _is_word(machine):
            raise ValueError(f"a virtual machine is named by its ID or its FQDN, not by {machine!r}")
        wrong = lookups.not_a_disk(self.disk) or (lookups.not_a_machine(machine) if machine else None)
        if wrong is not None:
            raise ValueError(f"{wrong}: give the disk first, then the virtual machine")

    def __str__(self) -> str:
        return f"{self.disk} -> {self.virtual_machine}" if self.virtual_machine else self.disk


if TYPE_CHECKING:
    from typing_extensions import TypeVar  # typing has defaults of type variables from Python 3.13 on

    #: The type of an action's items. The default is Assignment.
    ItemT = TypeVar("ItemT", default=Assignment)
    #: The type of an action's results. The default is Disk.
    ResultT = TypeVar("ResultT", default=Disk)
else:
    from typing import TypeVar

    ItemT = TypeVar("ItemT")
    ResultT = TypeVar("ResultT")

#: An item of a bulk run: an Assignment, a pair of a disk's ID and a machine's ID or FQDN, or the ID
#: of a disk alone, where no machine is needed.
Item = Assignment | tuple[str, str] | str
#: The input of a bulk run: any iterable or asynchronous iterable of items, read while it is used.
Items = Iterable[Item] | AsyncIterable[Item]


# Nearly all names match these, and no name that the checks below reject does.
_DISK = re.compile(r"disk_[!-~]{1,250}")
_MACHINE = re.compile(r"(?!disk_)[!-~]{1,255}")


def _are_usual(disk: object, machine: object) -> bool:
    """Return True for names of the usual form. Cheaper than the checks."""
    return (
        isinstance(disk, str)
        and _DISK.fullmatch(disk) is not None
        and (machine is None or (isinstance(machine, str) and _MACHINE.fullmatch(machine) is not None))
    )


def _is_word(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 255 and text.isprintable() and " " not in text


def check_disk(disk: object) -> None:
    """Raise ValueError unless this can be the ID of a disk."""
    if not _is_word(disk):
        raise ValueError(f"a disk is named by its ID, for example disk_…, not by {disk!r}")
    if (wrong := lookups.not_a_disk(cast("str", disk))) is not None:
        raise ValueError(wrong)


def check_machine(machine: object) -> None:
    """Raise ValueError unless this can be the ID or FQDN of a virtual machine."""
    if not _is_word(machine):
        raise ValueError(f"a virtual machine is named by its ID or its FQDN, not by {machine!r}")
    if (wrong := lookups.not_a_machine(cast("str", machine))) is not None:
        raise ValueError(wrong)


def check_text(field: str, text: object) -> None:
    """Raise ValueError unless the value of this field is a non-empty text."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{field} is a text that is not empty, not {text!r}")


def check_size(size_in_gb: object) -> None:
    """Raise ValueError unless this is a whole number of gigabytes above zero."""
    if not isinstance(size_in_gb, int) or isinstance(size_in_gb, bool) or size_in_gb < 1:
        raise ValueError(f"a size is a whole number of gigabytes, for example 50, not {size_in_gb!r}")


def check_items(items: object, *, example: str) -> None:
    """Check that an object can be the input of a run.

    Args:
        items: The input.
        example: A valid input, for the message.

    Raises:
        TypeError: If it is a single item or not iterable.
    """
    if isinstance(items, (str, bytes, msgspec.Struct)):
        found = (
            repr(items)[:60]
            if isinstance(items, msgspec.Struct)
            else f"the single text {cast('str', items)[:50]!r}"
        )
    elif isinstance(items, (AsyncIterable, Iterable)) or hasattr(items, "__getitem__"):
        return
    else:
        found = repr(items)[:60]
    raise TypeError(f"expected an iterable of items, not {found}: give for example {example}")


def read_item(item: object, *, needs_virtual_machine: bool) -> Assignment:
    """Return the item as an Assignment.

    Args:
        item: An Assignment, a disk ID, or a tuple or list (disk, virtual_machine).
        needs_virtual_machine: Whether the item must name its machine.

    Raises:
        TypeError: If the item has another type or another number of fields.
        ValueError: If a field is not a valid name, or the machine is missing.
    """
    if isinstance(item, str):
        item = Assignment(item)
    elif isinstance(item, (tuple, list)):
        fields = cast("tuple[str, ...]", item)
        if not 0 < len(fields) <= 2:
            expected = "2 fields (disk, virtual_machine)" if needs_virtual_machine else "1 field or 2 fields"
            raise TypeError(f"expected {expected}, found {len(fields)}")
        item = Assignment(*fields)
    elif not isinstance(item, Assignment):
        raise TypeError(_not_an_item(item, needs_virtual_machine=needs_virtual_machine))
    if needs_virtual_machine and item.virtual_machine is None:
        raise ValueError(f"no virtual machine is given for {item.disk}")
    return item


def _not_an_item(item: object, *, needs_virtual_machine: bool) -> str:
    described = _described(item)
    give = "(disk, virtual_machine)" if needs_virtual_machine else "the ID of a disk"
    if isinstance(item, Mapping):
        give = "(row['disk'], row['virtual_machine'])" if needs_virtual_machine else "row['disk']"
    return f"{described} is not an item: give {give}"


def _described(item: object) -> str:
    if isinstance(item, Mapping):
        return "a mapping"
    if isinstance(item, AbstractSet):
        return "a set"
    if item is None or isinstance(item, (int, float)):
        return repr(item)[:50]
    return f"an object of the type {type(item).__name__[:50]}"


def read_as(kind: type[ItemT], item: object) -> ItemT:
    """Return the item as an object of its action's item type.

    Args:
        kind: The item type.
        item: An object of this type, or a tuple or list of its fields in order. A text is the first
            field.

    Raises:
        TypeError: If the item has another type or another number of fields.
        ValueError: If a field is not valid.
    """
    if isinstance(item, kind):
        machine: object = getattr(item, "virtual_machine", None)
        if machine is not None and not isinstance(machine, str):
            raise TypeError(f"the virtual machine of {item} is {machine!r}: give its ID or FQDN")
        return item
    required, names = fields_of(kind)
    expected = f"{kind.__name__}({', '.join(names)})"
    if isinstance(item, str):
        values: tuple[object, ...] = (item,)
    elif isinstance(item, (tuple, list)):
        values = tuple(cast("tuple[object, ...]", item))
    else:
        raise TypeError(f"{_described(item)} is not an item: give {expected}")
    if not required <= len(values) <= len(names):
        found = "1 field" if len(values) == 1 else f"{len(values)} fields"
        raise TypeError(f"expected {expected}, found {found}")
    return kind(*values)


def fields_of(kind: type[object]) -> tuple[int, tuple[str, ...]]:
    """Return the number of required fields of an item type, and the names of all fields."""
    parameters = [
        parameter
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.POSITIONAL_ONLY)
    ]
    required = sum(parameter.default is parameter.empty for parameter in parameters)
    return required, tuple(parameter.name for parameter in parameters)
