"""Token, host and shared budget of a command, checked before the first request.

A token goes only to the host that the user has chosen: with --base-url, with KATAPULT_BASE_URL, in
a profile, or the default host. A journal cannot choose a host.
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

#: The commands that need a token and have the options of `Connection`.
_CONNECTED = {"plan", "assign", "resume", "rollback"}


def token_for(sources: Sources, settings: ClientSettings) -> str:
    """Return the token. Exits with 2 if the token or a setting cannot be used.

    Args:
        sources: The options, variables and profile of the command.
        settings: The settings of the client. The base URL is normalized, and the budget is added.
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
    """Return the normalized base URL. Exits with 2 if it cannot be used."""
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
    """Return whether the named profile has a token, too."""
    profile = sources.profile
    return (
        profile_is_named()
        and profile is not None
        and bool({"token_file", "token_command"} & set(profile.entries))
    )


def budget_of(sources: Sources) -> Budget | None:
    """Return the budget of the client, after checking it. None to share nothing.

    Exits with 2 if a budget that the user has chosen is unusable. If the default budget is
    unusable, the command continues with a warning.
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
    """Exit with 2 if a run belongs to another host than the one that the user has chosen."""
    named = settings.get("base_url", DEFAULT_BASE_URL)
    if info.base_url is None or is_same_base_url(info.base_url, named):
        return
    refuse(
        f"{run_file} was made for {info.base_url}, but the token would go to {named}. Nothing was sent. "
        f"If the token belongs to {info.base_url}, add --base-url {shlex.quote(info.base_url)}"
    )


def command_for(action: str, run_file: object, base_url: str | None) -> str:
    """Return a command for a run, ready to be typed.

    The command repeats the options of this command that choose the token and the budget. It has
    --base-url if variable and profile do not name the base URL of the run.

    Args:
        action: The name of the command, for example `resume`.
        run_file: The journal of the run.
        base_url: The base URL of the run.
    """
    command = f"katapult-async {action} {shlex.quote(str(run_file))}"
    if action in _CONNECTED:
        command += repeated_options()
    named = named_base_url() or DEFAULT_BASE_URL
    if base_url is None or is_same_base_url(base_url, named):
        return command
    return f"{command} --base-url {shlex.quote(base_url)}"
