"""The commands that show the budget and the settings of a command with the same options."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from katapult_async.cli.options import Access, Connection, Organization
from katapult_async.cli.program import command
from katapult_async.cli.settings import config_path


@command("budget", "budget --watch", "budget --all --json")
def budget(
    every_token: Annotated[
        bool, typer.Option("--all", help="All budgets in files of this user. Needs no token.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second, until Ctrl-C.")] = False,
    *,
    access: Access,
) -> None:
    """Show who shares the rate limit of the token.

    Shows each process with its requests, the limit, and the requests left in this window. Sends
    nothing to the API.
    """
    from katapult_async.cli.budget import run_budget

    sources = access.sources()
    sys.exit(
        run_budget(
            sources, allow_http=access.allow_http, every_token=every_token, as_json=as_json, watch=watch
        )
    )


@command("config", "config --profile staging", "config --json")
def config(
    organization: Organization = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    path: Annotated[bool, typer.Option("--path", help="Show the path of the settings file only.")] = False,
    *,
    connection: Connection,
) -> None:
    """Show every setting, its value and where it comes from.

    A setting comes from its option, else from its environment variable, else from the profile.
    Profiles are tables in the settings file, for example [default] or [staging]. Does not show the
    token, and does not run the token command.
    """
    from katapult_async.cli.config import run_config

    if path:
        print(config_path())
        sys.exit()
    sources = connection.sources(organization)
    sys.exit(run_config(sources, allow_http=connection.allow_http, as_json=as_json))
