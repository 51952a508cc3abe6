"""`load show`, `report`, `compare` and `merge`: read results and show them. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from katapult_async.cli.exit_codes import OK, SOME_NOT, bad_input, refuse
from katapult_async.cli.load_files import WRITERS, check_writable, read, write, writer_of
from katapult_async.cli.load_run import show, shown_lines
from katapult_async.jobs.report.atomic_file import written_whole
from katapult_async.jobs.report.documents import encode
from katapult_async.load import (
    LoadError,
    Threshold,
    compare,
    comparison_table,
    merge,
    write_comparison_page,
)
from katapult_async.load.comparing import ComparisonDocument


def run_show(name: str, thresholds: list[Threshold], *, as_json: bool) -> int:
    """Show a result. Returns the exit code."""
    return _guarded(lambda: show(read(name), thresholds, as_json=as_json))


def run_report(name: str, output: str) -> int:
    """Write a result to a file. Returns the exit code."""
    path = check_writable("--output", output)
    if path is None:
        raise AssertionError("the option is required")
    writer = writer_of(path)

    def run() -> int:
        problem = write(path, read(name), writer)
        return OK if problem is None else bad_input(problem)

    return _guarded(run)


def run_compare(one: str, other: str, *, html: str | None, fail_if_slower: bool, as_json: bool) -> int:
    """Show the difference of two results.

    Returns:
        The exit code: 1 if B is slower, with `fail_if_slower`.
    """
    path = check_writable("--html", html)

    def run() -> int:
        results = read(one), read(other)
        differences = compare(*results)
        if as_json:
            valid = all(result.valid for result in results)
            document = ComparisonDocument(one=one, other=other, both_valid=valid, differences=differences)
            print(encode(document), flush=True)
        else:
            print(shown_lines(comparison_table(*results, differences)), flush=True)
        if path is not None:
            try:
                with written_whole(path, None) as file:
                    write_comparison_page(file, *results, differences)
            except OSError as exc:
                return bad_input(f"cannot write {path}: {exc.strerror or exc}")
        slower = any(found.verdict == "slower" for found in differences)
        return SOME_NOT if slower and fail_if_slower else OK

    return _guarded(run)


def run_merge(names: Sequence[str], output: str, thresholds: list[Threshold]) -> int:
    """Add results, write the sum to a file, and show it. Returns the exit code."""
    path = check_writable("--output", output)
    if path is None:
        raise AssertionError("the option is required")

    def run() -> int:
        result = merge([read(name) for name in names])
        problem = write(path, result, WRITERS[".json"])
        if problem is not None:
            return bad_input(problem)
        return show(result, thresholds, as_json=False)

    return _guarded(run)


def _guarded(run: Callable[[], int]) -> int:
    try:
        return run()
    except LoadError as exc:
        refuse(str(exc))
