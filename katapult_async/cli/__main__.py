"""`python -m katapult_async.cli`."""

from __future__ import annotations

from katapult_async.cli import main

if __name__ == "__main__":
    main()
