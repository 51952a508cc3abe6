"""The settings of a command: their values and sources.

Only this module decides precedence: option, environment variable, profile, default. It refuses an
empty option or variable, because `--base-url "$URL"` must not mean the default host.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import typer

from katapult_async.cli.exit_codes import refuse
from katapult_async.cli.numbers import decimal, whole

if TYPE_CHECKING:
    from katapult_async.cli.profiles import Profile

T = TypeVar("T")
#: The type of a value in an option, a variable or a profile.
Given = str | int | float

#: The name of the default profile.
DEFAULT_PROFILE = "default"
#: Options that a command which resumes a run must repeat.
_REPEATED = ("profile", "token_file", "token_command", "budget")
#: Seconds. Katapult's rate limit has windows of a minute. An emulator may have others.
DEFAULT_WINDOW = 60.0
_repeated: ContextVar[str] = ContextVar("katapult_async_repeated_options", default="")
_profile: ContextVar[str | None] = ContextVar("katapult_async_profile_option", default=None)


class Level(str, Enum):
    """Where a value comes from, in order of precedence."""

    OPTION = "option"
    VARIABLE = "variable"
    PROFILE = "profile"
    DEFAULT = "default"


@dataclass(frozen=True)
class Value(Generic[T]):
    """A value with its source.

    Args:
        value: The value.
        level: The kind of its source.
        source: The name of the source: an option, a variable, or a line of a profile. Empty for the
            default.
    """

    value: T
    level: Level
    source: str = ""


@dataclass(frozen=True)
class Setting(Generic[T]):
    """A setting that a profile may have.

    Args:
        name: The key in a profile. The option has the same name.
        parse: Checks and converts a value. Raises typer.BadParameter.
        default: The default value.
        variable: The name of the environment variable, or None.
        types: The permitted types in TOML.
    """

    name: str
    parse: Callable[[Given], T]
    default: T
    variable: str | None = None
    types: tuple[type, ...] = (str,)

    @property
    def option(self) -> str:
        """The option on the command line."""
        return option_of(self.name)


def option_of(name: str) -> str:
    """Return the option for a field: `--base-url` for `base_url`."""
    return "--" + name.replace("_", "-")


def parse_text(value: Given) -> str:
    """Check a text."""
    return str(value)


def parse_budget(value: Given) -> str:
    """Check the place of a budget. The message hides the value, which may have a password."""
    text = str(value)
    if text in ("file", "none") or text.partition("://")[0] in ("redis", "rediss", "unix"):
        return text
    raise typer.BadParameter("expected file, none, or the URL of a Redis server (redis://…)")


BASE_URL: Setting[str | None] = Setting("base_url", parse_text, None, "KATAPULT_BASE_URL")
ORGANIZATION: Setting[str | None] = Setting("organization", parse_text, None, "KATAPULT_ORGANIZATION")
TOKEN_FILE: Setting[str | None] = Setting("token_file", parse_text, None, "KATAPULT_TOKEN_FILE")
TOKEN_COMMAND: Setting[str | None] = Setting("token_command", parse_text, None)
TOTAL_PERMITTED: Setting[int | None] = Setting("total_permitted", whole(1), None, types=(int,))
MAX_PER_SECOND: Setting[float | None] = Setting(
    "max_per_second", decimal(0.001, 1e6), None, types=(int, float)
)
CONCURRENCY: Setting[int] = Setting("concurrency", whole(1), 32, types=(int,))
PER_VIRTUAL_MACHINE: Setting[int] = Setting("per_virtual_machine", whole(1), 1, types=(int,))
BUDGET: Setting[str] = Setting("budget", parse_budget, "file", "KATAPULT_BUDGET")

#: The settings of a profile by key, in the order in which they are shown.
SETTINGS: dict[str, Setting[Any]] = {
    setting.name: setting
    for setting in (
        BASE_URL,
        ORGANIZATION,
        TOKEN_FILE,
        TOKEN_COMMAND,
        TOTAL_PERMITTED,
        MAX_PER_SECOND,
        CONCURRENCY,
        PER_VIRTUAL_MACHINE,
        BUDGET,
    )
}


class Sources:
    """The options, environment variables and profile of a command.

    Args:
        options: The options by the names of their settings. None for an absent option.
        profile: The profile, or None.
        environment: The environment variables.
    """

    def __init__(
        self,
        options: Mapping[str, Given | None],
        profile: Profile | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._options = options
        self._environment = environment
        self.profile = profile

    @classmethod
    def open(cls, options: Mapping[str, Given | None], profile: str | None) -> Sources:
        """Return the sources with a profile. Exits with 2 if the profile is unusable.

        Args:
            options: See the class.
            profile: The value of --profile.
        """
        from katapult_async.cli.profiles import ProfileError, read_profile

        chosen = value_of("--profile", profile, "KATAPULT_PROFILE")
        try:
            found = read_profile(config_path(), chosen.value, named_by=chosen.source)
        except ProfileError as exc:
            refuse(str(exc))
        return cls(options, found)

    def find(self, setting: Setting[T]) -> Value[T]:
        """Return the value of a setting. Exits with 2 if the value is invalid."""
        option = self._options.get(setting.name)
        variable = setting.variable
        if option is not None:
            return _parsed(setting, option, Level.OPTION, setting.option)
        if variable is not None and (given := self._environment.get(variable)) is not None:
            return _parsed(setting, given, Level.VARIABLE, variable)
        if self.profile is not None and (entry := self.profile.entries.get(setting.name)) is not None:
            # `read_profile` has checked the value.
            return Value(setting.parse(entry.value), Level.PROFILE, entry.source)
        return Value(setting.default, Level.DEFAULT)


def _parsed(setting: Setting[T], given: Given, level: Level, source: str) -> Value[T]:
    _refuse_empty(given, level, source)
    try:
        return Value(setting.parse(given), level, source)
    except typer.BadParameter as exc:
        refuse(f"{source}: {exc.message}")


def _refuse_empty(given: Given, level: Level, source: str) -> None:
    if isinstance(given, str) and not given.strip():
        if level is Level.OPTION:
            refuse(f"{source} is empty: give a value, or leave it out")
        refuse(f"the environment variable {source} is empty: set it to a value, or unset it")


def value_of(option: str, given: str | None, variable: str) -> Value[str | None]:
    """Return the value of an option, else of its variable, for a setting that no profile has.

    Exits with 2 if the value is empty.

    Args:
        option: The name of the option, for the message.
        given: The value of the option, or None.
        variable: The name of the environment variable.
    """
    level, source = (Level.OPTION, option) if given is not None else (Level.VARIABLE, variable)
    value = given if given is not None else os.environ.get(variable)
    if value is None:
        return Value(None, Level.DEFAULT)
    _refuse_empty(value, level, source)
    return Value(value, level, source)


def config_path() -> Path:
    """Return the path of the settings file, which may not exist."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    if not (folder and Path(folder).is_absolute()):  # the XDG specification ignores relative paths
        home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises without a home
        if sys.platform == "win32":
            folder = os.environ.get("APPDATA") or home
        elif sys.platform == "darwin":
            folder = str(Path(home, "Library", "Application Support"))
        else:
            folder = str(Path(home, ".config"))
    return Path(folder, "katapult-async", "config.toml")


def remember(options: Mapping[str, object]) -> None:
    """Store the options of this command that the next command for the same run must repeat."""
    words: list[str] = []
    for name in _REPEATED:
        given = options.get(name)
        if isinstance(given, str) and without_password(given) == given:
            words += [option_of(name), shlex.quote(given)]
    window = options.get("window")
    if isinstance(window, float) and window != DEFAULT_WINDOW:
        words += ["--window", f"{window:g}"]
    _repeated.set("".join(f" {word}" for word in words))
    profile = options.get("profile")
    _profile.set(profile if isinstance(profile, str) else None)


def repeated_options() -> str:
    """Return the options that the next command must repeat, ready to be typed after a command."""
    return _repeated.get()


def profile_is_named() -> bool:
    """Return whether the command line names a profile."""
    return _profile.get() is not None


def named_base_url() -> str | None:
    """Return the base URL of a command with `repeated_options`. None for the default host.

    Ignores invalid settings, because the command that uses them reports them.
    """
    from katapult_async.cli.profiles import ProfileError, read_profile

    if given := os.environ.get("KATAPULT_BASE_URL"):
        return given
    try:
        profile = read_profile(config_path(), _profile.get() or os.environ.get("KATAPULT_PROFILE"))
    except ProfileError:
        return None
    entry = profile.entries.get("base_url") if profile is not None else None
    return str(entry.value) if entry is not None else None


def without_password(text: str) -> str:
    """Return the URL of a budget without user, password and options."""
    scheme, separator, rest = text.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}" if separator else text


def passwords_in(url: str) -> list[str]:
    """Return the passwords in the URL of a budget, in each spelling that may occur in a message."""
    found: list[str] = []
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        found = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    return [spelling for password in found if password for spelling in (password, unquote(password))]
