"""The program `katapult-async`: its help, its version, and the registration of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from katapult_async import __version__
from katapult_async.cli.exit_codes import EXPLAINED
from katapult_async.cli.options import grouped

app = typer.Typer(
    name="katapult-async",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # would show local variables, which include the token
    rich_markup_mode=None,  # plain help is the same in a pipe, and starts faster
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def group(name: str, about: str) -> typer.Typer:
    """Register a group of commands.

    Args:
        name: Its name.
        about: Its help.
    """
    made = typer.Typer(name=name, help=about, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(made)
    return made


def command(
    *examples: str, name: str | None = None, on: typer.Typer = app
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command, with examples at the end of its help.

    Args:
        *examples: The examples, without the name of the program.
        name: The name of the command. None for the name of its function.
        on: The group of the command. By default the program itself.
    """
    shown = "\b\nExamples:\n" + "\n".join(f"  katapult-async {example}" for example in examples)

    def register(function: Callable[..., None]) -> Callable[..., None]:
        on.command(name, epilog=shown)(grouped(function))
        return function

    return register


def _version(value: bool) -> None:
    if value:
        print(f"katapult-async {__version__}")
        raise typer.Exit


@app.callback(epilog="\b\n" + EXPLAINED)
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Assign disks in bulk on the Katapult cloud API, as fast as its rate limit permits.

    The API token is read from the environment variable KATAPULT_API_KEY, from a
    file, or from a command. Settings can be kept in profiles: see config.
    """
