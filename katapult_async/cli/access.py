"""Which token goes to which host, and whom the rate limit is shared with: checked before anything is sent.

A token goes only to a host that the user has named: with --base-url, with KATAPULT_BASE_URL, in a profile, or by naming
none, which means the default host. A journal alone names no host.
"""

from __future__ import annotations

import asyncio
import shlex
import sys

from katapult_async import Client
from katapult_async.budget import Budget, BudgetError, as_budget
from katapult_async.cli.exit_codes import refuse
from katapult_async.cli.safe import hide, shown
from katapult_async.cli.settings import (
    BASE_URL,
    BUDGET,
    Level,
    Sources,
    named_base_url,
    passwords_in,
    profile_is_named,
    repeated_options,
)
from katapult_async.cli.token_source import VARIABLE, find_token
from katapult_async.client import ClientSettings
from katapult_async.jobs import RunInfo
from katapult_async.transport import DEFAULT_BASE_URL
from katapult_async.transport.address import check_base_url, is_same_base_url

#: The commands that need a token, and take the options of a connection.
_CONNECTED = {"plan", "assign", "resume", "rollback"}


def token_for(sources: Sources, settings: ClientSettings) -> str:
    """Return the token. Exits with 2 if it, or a setting, cannot be used.

    Args:
        sources: What the command was given.
        settings: What the client will get. The base URL is put into its one spelling, and the budget is added.
    """
    settings["base_url"] = base_url_of(sources, allow_http=settings.get("allow_http", False))
    token = read_token(sources)
    try:
        Client(token, **settings)
    except (ValueError, TypeError) as exc:
        refuse(str(exc))
    settings["budget"] = budget_of(sources)
    return token


def base_url_of(sources: Sources, *, allow_http: bool) -> str:
    """Return the base URL in its one spelling. Exits with 2 if it cannot be used."""
    found = sources.find(BASE_URL)
    try:
        return check_base_url(found.value or DEFAULT_BASE_URL, allow_http=allow_http)
    except ValueError as exc:
        reason = str(exc).replace("pass allow_http=True", "add --allow-http")
        refuse(reason if found.level is Level.OPTION else f"{found.source}: {reason}")


def read_token(sources: Sources) -> str:
    """Return the token, and keep it out of all messages. Exits with 2 if there is none."""
    source = find_token(sources)
    if source is None:
        refuse(
            f"no API token: the environment variable {VARIABLE} is not set. Put the token there, or add --token-file "
            "or --token-command"
        )
    token = source.read()
    hide(token)
    if source.name == VARIABLE and _is_other_profile(sources):
        print(
            f"katapult-async: the API token of {VARIABLE} is used, not the one of the profile that --profile names",
            file=sys.stderr,
        )
    return token


def _is_other_profile(sources: Sources) -> bool:
    """Return whether a variable wins over a token that the user may have meant by naming a profile."""
    profile = sources.profile
    return (
        profile_is_named()
        and profile is not None
        and bool({"token_file", "token_command"} & set(profile.entries))
    )


def budget_of(sources: Sources) -> Budget | None:
    """Return the budget that the client gets, after checking that it can be used. None to share nothing.

    Exits with 2 if the budget that the user has named cannot be used. Without the default budget the command goes on,
    and says so.
    """
    found = sources.find(BUDGET)
    for password in passwords_in(found.value):
        hide(password)
    try:
        budget = as_budget(found.value)
        if budget is not None:
            asyncio.run(budget.check())
    except (BudgetError, ValueError, OSError, RuntimeError) as exc:
        if found.level is not Level.DEFAULT:
            refuse(f"{found.source}: {exc}")
        reason = f"{exc}. The rate limit is not shared with other processes"
        print(f"katapult-async: {shown(reason)}", file=sys.stderr)
        return None
    return budget


def check_host(run_file: str, info: RunInfo, settings: ClientSettings) -> None:
    """Exit with 2 if a run was made for another host than the one that the user has named."""
    named = settings.get("base_url", DEFAULT_BASE_URL)
    if info.base_url is None or is_same_base_url(info.base_url, named):
        return
    refuse(
        f"{run_file} was made for {info.base_url}, but the token would go to {named}. Nothing was sent. "
        f"If the token belongs to {info.base_url}, add --base-url {shlex.quote(info.base_url)}"
    )


def command_for(action: str, run_file: object, base_url: str | None) -> str:
    """Return the command that does something with a run, as it can be typed.

    It repeats the profile and the other sources of this command's token, and names the base URL if nothing else does.

    Args:
        action: The command, for example `resume`.
        run_file: The journal of the run.
        base_url: The base URL that the run was made for.
    """
    command = f"katapult-async {action} {shlex.quote(str(run_file))}"
    if action in _CONNECTED:
        command += repeated_options()
    named = named_base_url() or DEFAULT_BASE_URL
    if base_url is None or is_same_base_url(base_url, named):
        return command
    return f"{command} --base-url {shlex.quote(base_url)}"
