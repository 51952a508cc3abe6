"""The options that several commands share. `settings` decides what applies without an option."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast, get_type_hints

import typer

from katapult_async.cli.exit_codes import INTERRUPTED, refuse
from katapult_async.cli.numbers import decimal, whole
from katapult_async.cli.settings import (
    BASE_URL,
    CONCURRENCY,
    DEFAULT_WINDOW,
    MAX_PER_SECOND,
    PER_VIRTUAL_MACHINE,
    TOTAL_PERMITTED,
    Sources,
    parse_budget,
    remember,
)

if TYPE_CHECKING:
    from katapult_async.client import ClientSettings

# Optional[...], because typer evaluates these annotations on Python 3.10, too.
# ruff: noqa: UP045

#: The longest time in seconds that an option accepts.
DAY = 86_400.0


def checked_file(option: str, given: str | None) -> str | None:
    """Return the name of a file. Exits with 2 if the name is empty."""
    if given is not None and not given.strip():
        refuse(f"{option} is empty: give the name of a file, or leave it out")
    return given


def checked_run(given: str) -> str:
    """Return the name of a journal. Exits with 2 if the name is empty or that of a manifest."""
    if not given.strip():
        refuse("RUN is empty: give the journal of a run, for example plan.csv.run")
    from katapult_async.jobs.location import journal_beside

    try:
        journal = journal_beside(given)
    except OSError:
        return given  # opening the journal reports why
    if journal is not None:
        refuse(f"{given} is not the journal of a run. Give the journal of that manifest: {journal}")
    return given


ManifestName = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST",
        show_default=False,
        help="CSV with the header disk,virtual_machine (attach and note are optional), or JSON Lines. "
        "- reads standard input.",
    ),
]
RunFile = Annotated[
    str, typer.Argument(metavar="RUN", show_default=False, help="The journal of the run: MANIFEST.run.")
]
NewRun = Annotated[
    Optional[str],
    typer.Option("--run", metavar="FILE", help="Journal of the new run. [default: MANIFEST.run]"),
]
Organization = Annotated[
    Optional[str],
    typer.Option(
        "--organization",
        metavar="NAME",
        help="Organization that owns the disks: org_… or its subdomain. [env: KATAPULT_ORGANIZATION]",
    ),
]
Thorough = Annotated[
    bool,
    typer.Option("--thorough", help="Preflight reads each disk, and compares data centers."),
]
Attach = Annotated[
    bool, typer.Option("--attach", help="Attach each disk after assigning it, if its machine runs.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to every question.")]
TaskTimeout = Annotated[
    float,
    typer.Option(parser=decimal(1, DAY), metavar="SECONDS", help="Longest time to wait for one task."),
]
Canary = Annotated[
    Optional[int],
    typer.Option(parser=whole(1), metavar="N", help="Send N lines, then ask before the rest."),
]
MaxFailures = Annotated[
    Optional[int],
    typer.Option(parser=whole(0), metavar="N", help="Stop when more than N lines have failed. Resume works."),
]


@dataclass(frozen=True)
class Access:
    """The options for token, host and shared budget."""

    profile: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME",
            help="Profile with settings (see config). [env: KATAPULT_PROFILE; default: default]",
        ),
    ] = None
    token_file: Annotated[
        Optional[str],
        typer.Option(
            metavar="FILE", help="Read the API token from a private file. [env: KATAPULT_TOKEN_FILE]"
        ),
    ] = None
    token_command: Annotated[
        Optional[str],
        typer.Option(metavar="CMD", help="Read the API token from the first line that a command writes."),
    ] = None
    base_url: Annotated[
        Optional[str],
        typer.Option(
            metavar="URL",
            help="API base URL. [env: KATAPULT_BASE_URL; default: https://api.katapult.io/core/v1]",
        ),
    ] = None
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Permit http:// to another host. The token is then readable.")
    ] = False
    budget: Annotated[
        Optional[str],
        typer.Option(
            parser=parse_budget,
            metavar="PLACE",
            help="Share the rate limit: file (with your processes on this machine), redis://HOST (with other "
            "hosts), or none. [env: KATAPULT_BUDGET; default: file]",
        ),
    ] = None

    def sources(self, organization: str | None = None) -> Sources:
        """Return the sources of all settings. Exits with 2 if the profile cannot be used.

        Args:
            organization: The value of --organization, if the command has this option.
        """
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        return Sources.open({**options, "organization": organization}, self.profile)


@dataclass(frozen=True)
class Limits(Access):
    """The options that limit single requests."""

    total_permitted: Annotated[
        Optional[int],
        typer.Option(
            parser=whole(1), metavar="N", help="Requests permitted per minute, if you know the number."
        ),
    ] = None
    max_per_second: Annotated[
        Optional[float],
        typer.Option(parser=decimal(0.001, 1e6), metavar="N", help="Maximum requests per second."),
    ] = None
    timeout: Annotated[
        Optional[float],
        typer.Option(
            parser=decimal(0.001, DAY), metavar="SECONDS", help="Longest time for one request. [default: 60]"
        ),
    ] = None
    window: Annotated[float, typer.Option(hidden=True, parser=decimal(0.1, DAY))] = DEFAULT_WINDOW

    def settings(self, sources: Sources) -> ClientSettings:
        """Return the client's settings without host and budget. Exits with 2 if one is unusable."""
        from katapult_async.transport import Timeout

        settings: ClientSettings = {
            "total_permitted": sources.find(TOTAL_PERMITTED).value,
            "max_per_second": sources.find(MAX_PER_SECOND).value,
            "rate_window": self.window,
            "allow_http": self.allow_http,
        }
        if self.timeout is not None:
            settings["timeout"] = Timeout(connect=min(self.timeout, 10.0), total=self.timeout)
        return settings


@dataclass(frozen=True)
class Connection(Limits):
    """The options for the requests of a run."""

    concurrency: Annotated[
        Optional[int],
        typer.Option(parser=whole(1), metavar="N", help="Most requests in flight. [default: 32]"),
    ] = None
    per_virtual_machine: Annotated[
        Optional[int],
        typer.Option(
            parser=whole(1), metavar="N", help="Most requests in flight for one machine. [default: 1]"
        ),
    ] = None

    def settings(self, sources: Sources) -> ClientSettings:
        """Return the client's settings without the budget. Exits with 2 if one is unusable."""
        settings = super().settings(sources)
        settings["concurrency"] = sources.find(CONCURRENCY).value
        settings["per_virtual_machine"] = sources.find(PER_VIRTUAL_MACHINE).value
        base_url = sources.find(BASE_URL).value
        if base_url is not None:
            settings["base_url"] = base_url
        return settings


@dataclass(frozen=True)
class Screen:
    """The options for output during a run."""

    as_json: Annotated[
        bool,
        typer.Option("--json", help="Write one JSON object for each line of the run, when the command ends."),
    ] = False
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress.")] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only questions, problems and failed lines.")
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every outcome and retry.")] = False
    log: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="Append every request to this file.")
    ] = None

    def start_log(self) -> None:
        """Open the log of --log. Exits with 2 if it cannot be written."""
        if self.log is None:
            return
        from katapult_async.cli.log_file import log_to

        checked_file("--log", str(self.log) if str(self.log) != "." else "")
        try:
            log_to(self.log)
        except OSError as exc:
            refuse(f"cannot write the log {self.log}: {exc.strerror}")


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take the fields of a dataclass as options.

    A parameter with a dataclass as its type, for example Connection, becomes one option for each
    field. The command gets an instance of the dataclass.
    """
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    # Not get_type_hints, which adds Optional to parameters with the default None on Python 3.10.
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        hint: Any = parameter.annotation
        if is_dataclass(hint):
            groups[parameter.name] = cast("type[Any]", hint)
            parameters += _fields_of(cast("type[Any]", hint))
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**values: Any) -> None:
        remember(values)
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        try:
            command(**values)
        except KeyboardInterrupt:  # outside the event loop, with no request in flight
            print("katapult-async: interrupted", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _fields_of(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
