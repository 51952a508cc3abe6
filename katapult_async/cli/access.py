"""Which token goes to which host: checked before anything is sent.

A token goes only to a host that the user has named: with --base-url, with KATAPULT_BASE_URL, or by naming none, which
means the default host. A journal alone names no host.
"""

from __future__ import annotations

import os
import shlex

from katapult_async import Client
from katapult_async.cli.exit_codes import refuse
from katapult_async.client import Settings
from katapult_async.jobs import RunInfo
from katapult_async.transport import DEFAULT_BASE_URL
from katapult_async.transport.address import is_same_base_url

#: The variable that holds the token.
TOKEN = "KATAPULT_API_KEY"  # noqa: S105 - its name


def token_for(settings: Settings) -> str:
    """Return the token of the environment. Exits with 2 if it, or a setting, cannot be used.

    Args:
        settings: What the client will get. The base URL is put into its one spelling.
    """
    token = os.environ.get(TOKEN)
    if token is None:
        refuse(f"the environment variable {TOKEN} is not set: put the API token there")
    if not token.strip():
        refuse(f"the environment variable {TOKEN} is empty: put the API token there")
    try:
        client = Client(token, **settings)
    except (ValueError, TypeError) as exc:
        refuse(str(exc).replace("pass allow_http=True", "add --allow-http"))
    settings["base_url"] = client.base_url
    return token


def check_host(run_file: str, info: RunInfo, settings: Settings) -> None:
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

    It names the base URL if the environment does not.

    Args:
        action: The command, for example `resume`.
        run_file: The journal of the run.
        base_url: The base URL that the run was made for.
    """
    command = f"katapult-async {action} {shlex.quote(str(run_file))}"
    named = os.environ.get("KATAPULT_BASE_URL") or DEFAULT_BASE_URL
    if base_url is None or is_same_base_url(base_url, named):
        return command
    return f"{command} --base-url {shlex.quote(base_url)}"
