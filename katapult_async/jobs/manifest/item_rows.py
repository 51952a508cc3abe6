"""Convert the records of an action's manifest to items. A column is a field of the item.

Numbers and booleans may be text, because CSV has only text.
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from katapult_async.bulk import Action, fields_of
from katapult_async.resources.actions import action_named

from .rows import BadRecord, Columns, Fields, ManifestLine

#: `Expected `int`, got `str` - at `$.size_in_gb``.
_WRONG_TYPE = re.compile(r"(?P<what>.*) - at `\$\.(?P<field>\w+).*`\Z", re.DOTALL)
_encode = msgspec.json.Encoder().encode


class ItemRows:
    """The records of an action's manifest. See Rows.

    Args:
        action: The name of the action, as `action_named` takes it.

    Raises:
        ValueError: If there is no such action.
    """

    def __init__(self, action: str) -> None:
        self._action: Action[Any, Any] = action_named(action)
        needed, names = fields_of(self._action.item)
        self.columns = Columns((*names, "note"), names[:needed])
        # Whether the action creates something. Its name is then the subject of a line.
        self._created = "virtual_machine" not in self.columns.required

    @property
    def action(self) -> str:
        """The name of the action."""
        return self._action.name

    def line_of(self, number: int, fields: Fields) -> ManifestLine:
        """Return a record as a line. Raises BadRecord if it is not valid."""
        if isinstance(fields, BadRecord):
            raise fields
        if strange := sorted(set(fields) - set(self.columns.all)):
            raise BadRecord(f"unknown field {strange[0][:50]!r}")
        given = {
            name: value.strip() if isinstance(value, str) else value
            for name, value in fields.items()
            if value is not None and value != ""
        }
        note = given.pop("note", None)
        if isinstance(note, (list, dict)):
            raise BadRecord("note must be text")
        if missing := [name for name in self.columns.required if name not in given]:
            raise BadRecord(f"{missing[0]} is missing")
        item = self._item(given)
        return ManifestLine(
            number=number,
            disk=str(getattr(item, "disk", "") or (getattr(item, "name", "") if self._created else "")),
            virtual_machine=getattr(item, "virtual_machine", None) or "",
            note=None if note is None else str(note),
            item=_encode(item).decode(),
        )

    def _item(self, given: dict[str, object]) -> object:
        machine = given.get("virtual_machine")
        if isinstance(machine, str) and "." in machine:  # host names ignore case
            given["virtual_machine"] = machine.lower().removesuffix(".")
        try:
            return self._action.reader(msgspec.convert(given, self._action.item, strict=False))
        except msgspec.ValidationError as exc:
            raise BadRecord(_reason(str(exc), given)) from None
        except (TypeError, ValueError) as exc:
            raise BadRecord(str(exc)) from None

    def fields_of(self, item: object) -> Fields:
        """Return an item of Python code as a record."""
        try:
            read = cast("object", self._action.reader(item))
        except (TypeError, ValueError) as exc:
            return BadRecord(str(exc))
        return cast("dict[str, object]", msgspec.to_builtins(read))


def _reason(error: str, given: dict[str, object]) -> str:
    """Return msgspec's error message with the field name of the manifest first."""
    found = _WRONG_TYPE.match(error)
    if found is None:
        return error
    field, what = found["field"], found["what"].replace("`", "")
    return f"{field}: {what[:1].lower()}{what[1:]}, found {str(given.get(field))[:50]!r}"
