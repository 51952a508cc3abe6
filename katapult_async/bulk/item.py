"""What counts as an item of a run. Every other object is refused in one sentence, before a request is sent.

A mapping, a set or a string has a length and can be iterated. So `Assignment(*item)` would take two of its keys,
elements or characters for a disk and a machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import cast

from .outcome import Assignment

Item = Assignment | tuple[str, str] | str
Items = Iterable[Item] | AsyncIterable[Item]


def check_items(items: object, *, needs_virtual_machine: bool) -> None:
    """Raise TypeError unless `items` can be the input of a run."""
    if isinstance(items, (str, bytes, Assignment)):
        found = repr(items)[:60] if isinstance(items, Assignment) else f"the single text {items[:50]!r}"
    elif isinstance(items, (AsyncIterable, Iterable)) or hasattr(items, "__getitem__"):
        return
    else:
        found = repr(items)[:60]
    example = '[("disk_…", "vm_…")]' if needs_virtual_machine else '["disk_…"]'
    raise TypeError(f"expected an iterable of items, not {found}: give for example {example}")


def read_item(item: object, *, needs_virtual_machine: bool) -> Assignment:
    """Return the item as an Assignment.

    Args:
        item: An Assignment, a disk ID, or a tuple or list (disk, virtual_machine).
        needs_virtual_machine: Whether the item must name its machine.

    Raises:
        TypeError: If the item is of another type, or has another number of fields.
        ValueError: If a field of the item cannot be what it stands for, or the machine is missing.
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
    give = "(disk, virtual_machine)" if needs_virtual_machine else "the ID of a disk"
    if isinstance(item, Mapping):
        give = "(row['disk'], row['virtual_machine'])" if needs_virtual_machine else "row['disk']"
        what = "a mapping"
    elif isinstance(item, AbstractSet):
        what = "a set"
    elif item is None or isinstance(item, (int, float)):
        what = repr(item)[:50]
    else:
        what = f"an object of the type {type(item).__name__[:50]}"
    return f"{what} is not an item: give {give}"
