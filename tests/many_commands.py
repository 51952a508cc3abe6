"""Run the commands that standard input lists, one after the other.

The program prints the exit code and the output of each as JSON. Each command goes through `main`
with streams of its own. This is a program of its own, because commands set signal handlers.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import traceback
from typing import Any

from katapult_async.cli import main


def one(case: dict[str, Any]) -> dict[str, Any]:
    """Run one command."""
    before = dict(os.environ)
    for name, value in case["env"]:
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    sys.argv = ["katapult-async", *case["arguments"]]
    streams = sys.stdin, sys.stdout, sys.stderr
    out, err = io.StringIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(case["stdin"].encode()))
    sys.stdout, sys.stderr = out, err
    code: object = 0
    try:
        main()
    except SystemExit as exc:
        code = exc.code
    except BaseException:  # noqa: BLE001 - whatever it is, the test shall see it
        err.write(traceback.format_exc())
        code = "raised"
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(before)
        logging.getLogger("katapult_async").handlers.clear()
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    json.dump([one(case) for case in json.load(sys.stdin)], sys.stdout)
