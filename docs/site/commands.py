"""The reference of the command line, from the program's own help."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from typer.main import get_command

from docs.site.markdown import cell, code, table
from katapult_async.cli.app import app
from katapult_async.cli.exit_codes import EXPLAINED

_PROGRAM = "katapult-async"


def every_command() -> Mapping[str, Any]:
    """Return all commands by name, `load run` for one of a group.

    Their class differs between versions of typer.
    """
    program: Any = get_command(app)
    found: dict[str, Any] = {}
    for name, command in program.commands.items():
        group: Mapping[str, Any] | None = getattr(command, "commands", None)
        if group is None:
            found[name] = command
        else:
            found |= {f"{name} {each}": one for each, one in group.items()}
    return found


def help_records(name: str) -> list[tuple[str, str]]:
    """Return the arguments and options of a command, each with its help."""
    command = every_command()[name]
    context = command.context_class(command, info_name=name, **command.context_settings)
    records: list[tuple[str, str]] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            records.append((str(record[0]), str(record[1])))
    return records


def commands() -> str:
    """Return a section for each command, in the order of the program's help."""
    return "\n".join(_section(name, command) for name, command in every_command().items())


def exit_codes() -> str:
    """Return the table of exit codes."""
    rows = [line.split(maxsplit=1) for line in EXPLAINED.splitlines()[1:]]
    return table(("code", "meaning"), [(f"`{code}`", meaning) for code, meaning in rows])


def _section(name: str, command: Any) -> str:
    records = help_records(name)
    named = [_without_type(given) for given, _ in records if not given.startswith("-")]
    usage = " ".join([f"{_PROGRAM} {name}", "[OPTIONS]", *named])
    parts = [
        f"(command-{name.replace(' ', '-')})=",
        f"## `{name}`",
        "",
        f"```text\n{usage}\n```",
        "",
        _with_code(command.help.strip()),
        "",
    ]
    if examples := _examples(command.epilog):
        parts += ["```sh", *examples, "```", ""]
    rows = [(_given(given), cell(_with_code(text))) for given, text in records]
    return "\n".join([*parts, table(("argument or option", "meaning"), rows), ""])


def _given(text: str) -> str:
    """Return an argument, or an option with its value. A narrow table wraps between the words."""
    if text.startswith("-"):
        return cell(_with_code(text))
    return code(_without_type(text))


def _without_type(argument: str) -> str:
    """Return the name of an argument. Some versions of typer add its type: `MANIFEST <str>`."""
    return argument.partition(" ")[0]


def _with_code(text: str) -> str:
    """Return a text with its options as code. Otherwise a dash replaces their hyphens."""
    return re.sub(r"(?<![\w`-])--?[a-z][\w-]*", r"`\g<0>`", text)


def _examples(epilog: str | None) -> list[str]:
    lines = (epilog or "").splitlines()
    return [line.strip() for line in lines if line.startswith(f"  {_PROGRAM}")]
