"""The source of the API token: a variable, a file, or the output of a command.

A token cannot be an option or a line of a profile, because other users or backups could read it
there. No message shows the token.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import threading
from enum import Enum
from typing import IO, NamedTuple

from katapult_async.cli.exit_codes import refuse
from katapult_async.cli.settings import TOKEN_COMMAND, TOKEN_FILE, Level, Sources

#: The variable that holds the token.
VARIABLE = "KATAPULT_API_KEY"
#: Longest time of a token command in seconds.
PATIENCE = 30.0
#: Most bytes to read from a file or a command.
LARGEST = 1 << 16


class Kind(str, Enum):
    """The kind of a token's source."""

    VARIABLE = "variable"
    FILE = "file"
    COMMAND = "command"


class TokenSource(NamedTuple):
    """The source of the token.

    Args:
        kind: The kind of the source.
        name: The name of the variable or the file, or the command with its arguments.
        source: The option, variable or line of a profile that names the file or command.
    """

    kind: Kind
    name: str
    source: str

    def read(self) -> str:
        """Return the token. Exits with 2 if it cannot be read."""
        if self.kind is Kind.FILE:
            return read_file(self.name, self.source)
        if self.kind is Kind.COMMAND:
            return run_command(self.name, self.source)
        return os.environ[self.name]


def find_token(sources: Sources) -> TokenSource | None:
    """Return the source of the token, by the precedence of all settings. None if there is none.

    Exits with 2 if two sources have the same precedence.
    """
    file, command = sources.find(TOKEN_FILE), sources.find(TOKEN_COMMAND)
    if file.level is command.level is Level.OPTION:
        refuse(f"{file.source} and {command.source} exclude each other: leave one of them out")
    for level in (Level.OPTION, Level.VARIABLE, Level.PROFILE):
        token = os.environ.get(VARIABLE)
        if level is Level.VARIABLE and token is not None:
            if file.level is Level.VARIABLE:
                refuse(f"{VARIABLE} and {file.source} are both set: unset one of them")
            if not token.strip():
                refuse(f"the environment variable {VARIABLE} is empty: put the API token there")
            return TokenSource(Kind.VARIABLE, VARIABLE, VARIABLE)
        if file.level is level and file.value is not None:
            return TokenSource(Kind.FILE, file.value, file.source)
        if command.level is level and command.value is not None:
            return TokenSource(Kind.COMMAND, command.value, command.source)
    return None


def read_file(name: str, source: str) -> str:
    """Return the token in a file. Exits with 2 if other users have access to the file.

    Args:
        name: The file.
        source: The option, variable or line of a profile that names it, for messages.
    """
    shown = _unless_secret(name)
    try:
        with open(os.path.expanduser(name), "rb") as file:  # noqa: PTH111, PTH123 - Path raises without a home
            # The mode of the open file, because another file may take its name.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077 and sys.platform != "win32":
                refuse(
                    f"{source}: other users can use the token file {shown} (mode {mode:03o}). "
                    f"chmod 600 {shlex.quote(shown)}"
                )
            data = file.read(LARGEST + 1)
    except OSError as exc:
        refuse(f"{source}: cannot read the token file {shown}: {exc.strerror}")
    except ValueError:  # a NUL in the name
        refuse(f"{source}: cannot read the token file {shown}: it is not a file name")
    lines = _lines(data)
    if not lines:
        refuse(f"{source}: the token file {shown} is empty")
    if len(lines) > 1:
        refuse(f"{source}: the token file {shown} must have one line with the token and nothing else")
    return lines[0]


def run_command(command: str, source: str) -> str:
    """Return the first line that a command writes. Exits with 2 if the command fails.

    The command runs without a shell. Its standard input is empty, because the manifest may need it.

    Args:
        command: The command with its arguments, quoted as in a shell.
        source: The option or line of a profile that names it, for messages.
    """
    try:
        arguments = shlex.split(command, posix=sys.platform != "win32")
    except ValueError as exc:
        refuse(f"{source}: cannot read the token command: {exc}")
    if not arguments:
        refuse(f"{source}: the token command is empty")
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it has an invalid character"
        refuse(f"{source}: cannot run the token command {_unless_secret(arguments[0])}: {reason}")
    output, errors = _finish(process, source)
    lines = _lines(output)
    if process.returncode:
        code = process.returncode
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        refuse(f"{source}: the token command failed with {how}{_reason(errors, lines)}")
    if not lines or not lines[0].strip():
        refuse(f"{source}: the token command wrote nothing{_reason(errors, lines)}")
    return lines[0]


def _finish(process: subprocess.Popen[bytes], source: str) -> tuple[bytes, bytes]:
    """Wait for a command, but not for its descendants, and return its output and errors."""
    if process.stdout is None or process.stderr is None:
        raise AssertionError("both are pipes")
    output, errors = _Reader(process.stdout), _Reader(process.stderr)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        refuse(f"{source}: the token command did not end within {PATIENCE:.0f} s, and was stopped")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return output.result(), errors.result()


class _Reader:
    """Reads a pipe in a thread, to its end or to LARGEST bytes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._data = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:  # closing it at the limit ends a command with endless output
            while len(self._data) < LARGEST and (more := os.read(self._pipe.fileno(), LARGEST)):
                self._data += more

    def result(self) -> bytes:
        """Return the data, after at most one second for the rest of the pipe."""
        self._thread.join(1.0)
        return self._data


def _lines(data: bytes) -> list[str]:
    # A token is ASCII. The client refuses other bytes with their position.
    return data[:LARGEST].decode("utf-8", "backslashreplace").rstrip("\r\n").splitlines()


def _reason(errors: bytes, lines: list[str]) -> str:
    """Return the last line of a command's errors, without the token."""
    complaints = [line.strip() for line in _lines(errors) if line.strip()]
    if not complaints:
        return ""
    text = complaints[-1][:300]
    for line in lines:
        if len(line.strip()) > 3:  # a shorter text may also occur in words
            text = text.replace(line.strip(), "<token>")
    return f": {text}"


def _unless_secret(name: str) -> str:
    """Return the name of a file or program, shortened if it may be a misplaced token."""
    if len(name) > 11 and not set("/\\. ") & set(name):
        return f"{name[:3]}…"
    return name[:200]
