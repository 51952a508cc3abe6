"""Profiles: named settings in a TOML file of the user.

This module reads and checks profiles. `settings` decides whether their values apply. Every error
names the file and, if known, the line. No message shows a value, because it may be the token.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, cast

import typer

from katapult_async.cli.settings import DEFAULT_PROFILE, SETTINGS, Given, passwords_in

#: Largest size of the file in bytes.
LARGEST = 1 << 20
#: Keys under which users may put a token by mistake.
_TOKEN_KEYS = {"token", "api_token", "api_key", "katapult_api_key", "secret", "password"}
_TYPES: dict[type, str] = {str: "text in quotes", int: "a whole number", float: "a number"}


class ProfileError(Exception):
    """The settings file cannot be used. The message names file and line."""


class Entry(NamedTuple):
    """One setting of a profile. source: its place in the file, for people."""

    value: Given
    source: str


class Profile(NamedTuple):
    """A profile: its name, its file, and its settings by key."""

    name: str
    path: Path
    entries: dict[str, Entry]


def read_profile(path: Path, name: str | None, *, named_by: str = "--profile") -> Profile | None:
    """Read one profile, and check the whole file.

    Args:
        path: The settings file.
        name: The name of the profile. None for the default profile, which may be missing.
        named_by: The option or variable that names the profile, for messages.

    Returns:
        The profile. None if no name is given and the file has no default profile.

    Raises:
        ProfileError: If the file cannot be read or is invalid, or has no profile of this name.
    """
    found = _read(path)
    if found is None:
        if name is not None:
            raise ProfileError(f"{named_by} names the profile {name}, but there is no file {path}")
        return None
    text, mode = found
    profiles = {key: _profile(path, text, mode, key, value) for key, value in _parse(path, text).items()}
    if name is not None and name not in profiles:
        known = f"It has {', '.join(profiles)}" if profiles else "It is empty"
        raise ProfileError(f"{named_by} names the profile {name}, which is not in {path}. {known}")
    return profiles.get(name or DEFAULT_PROFILE)


def _read(path: Path) -> tuple[str, int] | None:
    """Return the text and the mode of the file. None if the file does not exist."""
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise ProfileError(f"cannot read the settings in {path}: {exc.strerror}") from None
    mode = stat.S_IMODE(info.st_mode) if sys.platform != "win32" else 0
    if mode & 0o022:
        raise ProfileError(
            f"{path} can be changed by other users, who could send your token elsewhere: chmod 600 {path}"
        )
    if len(data) > LARGEST:
        raise ProfileError(f"{path} has more than {LARGEST // 1024} KiB: is it the right file?")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n"), mode
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ProfileError(f"{path}:{line}: this is not text in UTF-8") from None


def _parse(path: Path, text: str) -> dict[str, object]:
    module = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    loads = cast("Callable[[str], dict[str, object]]", module.loads)
    try:
        return loads(text)
    except RecursionError:
        raise ProfileError(f"{path}: the values are nested too deeply") from None
    except ValueError as exc:
        reason, _, place = str(exc).partition(" (at ")
        number = re.match(r"line (\d+)", place)
        line = int(number[1]) if number else text.rstrip().count("\n") + 1
        raise ProfileError(f"{path}:{line}: this is not TOML: {reason}") from None


def _profile(path: Path, text: str, mode: int, name: str, value: object) -> Profile:
    if not isinstance(value, dict):
        where = _place(path, text, None, name)
        _refuse_token(where, name)
        raise ProfileError(f"{where}: {name} is not in a profile: put it under a line [{DEFAULT_PROFILE}]")
    entries: dict[str, Entry] = {}
    for key, found in cast("Mapping[str, object]", value).items():
        where = _place(path, text, name, key)
        entries[key] = Entry(_checked(where, key, found, path, mode), f"profile {name}, {where}")
    for one, other in (("token_file", "token_command"),):
        if one in entries and other in entries:
            where = _place(path, text, name, other)
            raise ProfileError(f"{where}: {one} and {other} exclude each other: leave one of them out")
    return Profile(name, path, entries)


def _checked(where: str, key: str, value: object, path: Path, mode: int) -> Given:
    """Return the value of a key, after checking it."""
    setting = SETTINGS.get(key)
    if setting is None:
        _refuse_token(where, key)
        close = difflib.get_close_matches(key, SETTINGS, n=1)
        advice = f"Did you mean {close[0]}?" if close else f"Settings are {', '.join(SETTINGS)}"
        raise ProfileError(f"{where}: {key} is not a setting. {advice}")
    if not isinstance(value, setting.types) or isinstance(value, bool):
        raise ProfileError(f"{where}: {key} must be {_TYPES[setting.types[-1]]}")
    given = cast("Given", value)
    if isinstance(given, str):
        if not given.strip():
            raise ProfileError(f"{where}: {key} is empty: give a value, or leave it out")
        if mode & 0o044 and passwords_in(given):
            raise ProfileError(
                f"{where}: {key} has a password, but other users can read {path}: chmod 600 {path}"
            )
        if key == "token_file":
            return str(Path(path.parent, os.path.expanduser(given)))  # noqa: PTH111 - expanduser of Path raises without a home
    try:
        setting.parse(given)
    except typer.BadParameter as exc:
        raise ProfileError(f"{where}: {key}: {exc.message}") from None
    return given


def _refuse_token(where: str, key: str) -> None:
    if key.lower().replace("-", "_") in _TOKEN_KEYS:
        raise ProfileError(
            f"{where}: {key} must not be in this file. Put the token into a file that only you can read, "
            "and name that file with token_file; or use token_command"
        )


def _place(path: Path, text: str, profile: str | None, key: str) -> str:
    """Return file and line of a key. Only the file if the key has an unusual spelling."""
    inside: str | None = None
    header = re.compile(r"\s*\[\s*[\"']?(.+?)[\"']?\s*\]\s*(#.*)?$")
    entry = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
    for number, line in enumerate(text.split("\n"), start=1):
        if (found := header.match(line)) is not None:
            inside = found[1]
        elif inside == profile and entry.match(line):
            return f"{path}:{number}"
    return str(path)
