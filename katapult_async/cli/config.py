"""`config`: show every setting with its value and its source."""

from __future__ import annotations

from katapult_async.cli.access import base_url_of
from katapult_async.cli.exit_codes import OK
from katapult_async.cli.settings import (
    BASE_URL,
    SETTINGS,
    TOKEN_COMMAND,
    TOKEN_FILE,
    Level,
    Sources,
    config_path,
    without_password,
)
from katapult_async.cli.token_source import Kind, find_token, read_file
from katapult_async.jobs.report.command_documents import ConfigDocument, SettingDocument, TokenDocument
from katapult_async.jobs.report.documents import encode
from katapult_async.safe_text import for_terminal

_HEADINGS = ("setting", "value", "source")
#: Settings that are shown in the row of the token.
_TOKEN = {TOKEN_FILE.name, TOKEN_COMMAND.name}


def run_config(sources: Sources, *, allow_http: bool, as_json: bool) -> int:
    """Show the settings. Exits with 2 if a setting cannot be used.

    Args:
        sources: The options, variables and profile of the command.
        allow_http: Whether http:// to another host is permitted.
        as_json: Whether to write JSON.

    Returns:
        The exit code.
    """
    settings = [_setting(sources, name, allow_http=allow_http) for name in SETTINGS if name not in _TOKEN]
    document = ConfigDocument(
        path=str(config_path()),
        exists=config_path().exists(),
        profile=sources.profile.name if sources.profile is not None else None,
        token=_token(sources),
        settings=settings,
    )
    if as_json:
        print(encode(document))
    else:
        for line in _lines(document):
            print(for_terminal(line))
    return OK


def _setting(sources: Sources, name: str, *, allow_http: bool) -> SettingDocument:
    found = sources.find(SETTINGS[name])
    value: str | int | float | None = found.value
    if name == BASE_URL.name:
        value = base_url_of(sources, allow_http=allow_http)
    elif isinstance(value, str):
        value = without_password(value)
    return SettingDocument(name=name, value=value, level=found.level.value, source=found.source or None)


def _token(sources: Sources) -> TokenDocument:
    found = find_token(sources)
    if found is None:
        return TokenDocument(set=False, kind=None, source=None)
    if found.kind is Kind.FILE:
        read_file(found.name, found.source)  # exits if other users can read the file
    return TokenDocument(set=True, kind=found.kind.value, source=found.source)


def _lines(document: ConfigDocument) -> list[str]:
    token = document.token
    rows = [
        _HEADINGS,
        ("token", "set" if token.set else "not set", f"from {token.source}" if token.source else ""),
        *(_row(setting) for setting in document.settings),
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    where = document.path if document.exists else f"{document.path} (not there)"
    return [
        f"settings file: {where}",
        f"profile: {document.profile or 'none'}",
        "",
        *(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows),
    ]


def _row(setting: SettingDocument) -> tuple[str, str, str]:
    value = "not set" if setting.value is None else str(setting.value)
    if setting.level == Level.DEFAULT.value:
        return setting.name, value, "" if setting.value is None else "default"
    return setting.name, value, f"from {setting.source}"
