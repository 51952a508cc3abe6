"""The table of settings, from the settings of the command line."""

from __future__ import annotations

from docs.site.markdown import code, table
from katapult_async.cli.settings import SETTINGS
from katapult_async.transport import DEFAULT_BASE_URL

#: Values that the command line leaves to the client.
_DEFAULTS = {"base_url": DEFAULT_BASE_URL}


def settings() -> str:
    """Return a row for each setting of a profile."""
    rows = [
        (
            code(setting.name),
            code(setting.option),
            code(setting.variable) if setting.variable else "",
            code(str(default)) if (default := setting.default or _DEFAULTS.get(setting.name)) else "",
        )
        for setting in SETTINGS.values()
    ]
    return table(("key in a profile", "option", "environment variable", "default"), rows)
