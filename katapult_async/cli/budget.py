"""`budget`: show which processes share the rate limit of a token. Only reads the store."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import time
from typing import NamedTuple

from katapult_async.budget import BudgetError, FileBudget, Store, StoreUnavailable, as_budget, key_of
from katapult_async.budget.file import FileStore, default_folder
from katapult_async.budget.leases import DEAD
from katapult_async.budget.view import BudgetView, MemberView, view_of
from katapult_async.cli.access import base_url_of, read_token
from katapult_async.cli.exit_codes import INTERRUPTED, OK, REFUSED, bad_input, refuse
from katapult_async.cli.live import PAINT_EVERY, Line, Live, Part
from katapult_async.cli.safe import hide, shown
from katapult_async.cli.settings import BUDGET, Sources, passwords_in, without_password
from katapult_async.cli.signals import run_loop
from katapult_async.cli.terminal import is_plain
from katapult_async.cli.words import clock_time, count, counted, duration
from katapult_async.jobs.report.command_documents import BudgetDocument, BudgetMember, BudgetState
from katapult_async.jobs.report.documents import encode, iso
from katapult_async.transport.address import hide_token

#: Seconds between two reads of the store.
EVERY = 1.0
#: A process whose last look is less than this many seconds ago is shown as seen now.
_NOW = 2.0
_HEADINGS = ("process", "host", "run", "in flight", "waiting", "this window", "sent", "seen")


class Seen(NamedTuple):
    """A budget at the time of a read.

    Args:
        key: The name of the token's budget.
        view: The budget. None if no process has used it, or if it cannot be read.
        problem: Why the budget cannot be read, or None.
        at: When the budget was read (Unix seconds).
        ended: Names of processes of this machine that have ended without leaving the budget.
    """

    key: str
    view: BudgetView | None
    problem: str | None
    at: float
    ended: frozenset[str] = frozenset()


class _Place:
    """The budgets that are shown, and their place.

    Args:
        where: The place, for people.
        stores: The stores by key. None for every file in the folder.
    """

    def __init__(self, where: str, stores: dict[str, Store] | None = None) -> None:
        self.where = where
        self._every_file = stores is None
        self._stores: dict[str, Store] = stores or {}

    async def look(self) -> list[Seen]:
        """Read each budget."""
        if self._every_file:
            files = FileBudget(default_folder())
            for path in sorted(default_folder().glob("*.budget")):
                key = path.stem.partition("-")[0]  # the name of the machine follows
                self._stores.setdefault(key, files.store(key))
        return [await _look(key, store) for key, store in self._stores.items()]

    async def aclose(self) -> None:
        """Close files and connections."""
        for store in self._stores.values():
            await store.aclose()


def run_budget(sources: Sources, *, allow_http: bool, every_token: bool, as_json: bool, watch: bool) -> int:
    """Show which processes share a budget.

    Returns:
        The exit code: 3 if the store does not answer.
    """
    place = sources.find(BUDGET)
    if place.value == "none":
        refuse(f"{place.source}: no budget is shared. Name one with --budget")
    if every_token:
        if place.value != "file":
            refuse(f"--all lists budgets in files of this machine, but {place.source} names another place")
        key = None
    else:
        base_url = base_url_of(sources, allow_http=allow_http)
        token, problem = hide_token(read_token(sources))
        if problem is not None:
            refuse(str(problem))
        key = key_of(token.reveal(), base_url)
    for password in passwords_in(place.value):
        hide(password)
    try:
        return run_loop(_show(place.value, key, as_json=as_json, watch=watch))
    except (BudgetError, ValueError, RuntimeError) as exc:  # RuntimeError: a user without a home folder
        refuse(f"{place.source or '--budget file'}: {exc}")


async def _show(place: str, key: str | None, *, as_json: bool, watch: bool) -> int:
    opened = await _open(place, key)
    try:
        if not watch:
            found = await opened.look()
            _print(opened.where, found, as_json=as_json)
            return REFUSED if any(seen.problem for seen in found) else OK
        if as_json or is_plain(sys.stdout):
            return await _in_lines(opened, as_json=as_json)
        return await _on_terminal(opened)
    except asyncio.CancelledError:
        return INTERRUPTED  # Ctrl-C ends --watch
    finally:
        await opened.aclose()


async def _open(place: str, key: str | None) -> _Place:
    if place == "file":
        if key is None:
            return _Place(str(default_folder()))
        return _Place(str(default_folder()), {key: FileBudget().store(key)})
    budget = as_budget(place)
    if budget is None or key is None:
        raise AssertionError("both were checked")
    await budget.check()
    return _Place(without_password(place), {key: budget.store(key)})


async def _look(key: str, store: Store) -> Seen:
    try:
        state, now = await store.read()
    except (StoreUnavailable, OSError, ValueError) as exc:
        return Seen(key, None, str(exc), time.time())
    if state is None:
        return Seen(key, None, None, time.time())
    view = view_of(state, now)
    # Only a budget in a file is of this machine alone. Hosts with a Redis may have equal names.
    members = view.members if isinstance(store, FileStore) else ()
    ended = frozenset(member.name for member in members if member.seen_ago >= DEAD and _has_ended(member))
    return Seen(key, view, None, time.time(), ended)


def _has_ended(member: MemberView) -> bool:
    process, _ = _process_of(member.name)
    if process is None or sys.platform == "win32":  # os.kill(…, 0) ends a process of Windows
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # a process of another user
        return False
    return False


def _print(where: str, found: list[Seen], *, as_json: bool) -> None:
    if as_json:
        print(document(where, found), flush=True)
        return
    print("\n".join(sentences(where, found)), flush=True)
    for seen in found:
        if seen.problem is not None:
            bad_input(f"cannot read the budget: {seen.problem}")


async def _in_lines(place: _Place, *, as_json: bool) -> int:
    before: list[str] = []
    while True:
        found = await place.look()
        lines = sentences(place.where, found)
        if as_json or lines != before:
            _print(place.where, found, as_json=as_json)
        before = lines
        await asyncio.sleep(EVERY)


async def _on_terminal(place: _Place) -> int:
    found = await place.look()

    def lines(width: int) -> list[Line]:
        problems = [f"cannot read the budget: {seen.problem}" for seen in found if seen.problem]
        texts = [*sentences(place.where, found), *problems]
        rows = shutil.get_terminal_size().lines - 2  # rows that have scrolled away cannot be repainted
        if len(texts) > rows:
            texts[rows - 1 :] = ["…"]
        return [[Part(shown(text)[:width])] for text in (*texts, "Ctrl-C ends the watching.")]

    with Live(sys.stdout, lines) as live:
        while True:
            for _ in range(round(EVERY / PAINT_EVERY)):
                live.paint()
                await asyncio.sleep(PAINT_EVERY)
            found = await place.look()


def document(where: str, found: list[Seen]) -> str:
    """Return the budgets for a program, as JSON in one line."""
    return encode(BudgetDocument(place=shown(where), budgets=[_state(seen) for seen in found]))


def _state(seen: Seen) -> BudgetState:
    view = seen.view
    if view is None:
        return BudgetState(key=seen.key, problem=shown(seen.problem) if seen.problem else None)
    next_at = None if view.next_window_in is None else seen.at + view.next_window_in
    return BudgetState(
        key=seen.key,
        limiter=view.limiter,
        period=view.period,
        limit=view.limit,
        remaining=view.remaining,
        used=view.used,
        in_flight=view.in_flight,
        waiting=view.waiting,
        next_window_at=iso(next_at),
        members=[_member(member, seen.at) for member in view.members],
    )


def _member(member: MemberView, at: float) -> BudgetMember:
    process, host = _process_of(member.name)
    return BudgetMember(
        host=host,
        process=process,
        run=member.run,
        seen_at=iso(at - member.seen_ago) or "",
        in_flight=member.in_flight,
        waiting=member.waiting,
        sent=member.sent,
        sent_in_window=member.sent_in_window,
    )


def _process_of(name: str) -> tuple[int | None, str | None]:
    found = re.fullmatch(r"(?:process|load test) (\d{1,9}) on (.+)", name)
    return (int(found[1]), found[2]) if found else (None, name or None)


def sentences(where: str, found: list[Seen]) -> list[str]:
    """Return the budgets for a person, in lines."""
    if not found:
        return [shown(f"No budget is kept in {where}.")]
    lines: list[str] = []
    for seen in found:
        lines += ["", *_one(where, seen)] if lines else _one(where, seen)
    return lines


def _one(where: str, seen: Seen) -> list[str]:
    view = seen.view
    name = shown(f"budget {seen.key} in {where}")
    if view is None:
        return [name, *(["Nobody has used this token here lately."] if seen.problem is None else [])]
    per = "minute" if view.period == 60.0 else duration(view.period)
    rows = [
        (f"permitted per {per}", "not known yet" if view.limit is None else count(view.limit)),
        ("remaining", "not known" if view.remaining is None else count(view.remaining)),
        ("used in this window", count(view.used)),
        ("in flight", count(view.in_flight)),
        ("waiting", count(view.waiting)),
    ]
    if view.next_window_in is not None:
        at = clock_time(seen.at + view.next_window_in, seen.at)
        rows.append(("next window", f"in {duration(view.next_window_in)}, at {at}"))
    who = "No process is on this token now."
    if view.members:
        who = f"{counted(len(view.members), 'process', 'processes')} on this token."
    return [name, *(f"{label:>28}  {value}" for label, value in rows), who, *_table(view.members, seen.ended)]


def _table(members: tuple[MemberView, ...], ended: frozenset[str]) -> list[str]:
    if not members:
        return []
    members = tuple(sorted(members, key=lambda member: member.name))
    rows = [_HEADINGS, *(_row(member, has_ended=member.name in ended) for member in members)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return [
        "  ".join(
            f"{cell:<{width}}" if column in (1, 2, 7) else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(member: MemberView, *, has_ended: bool) -> tuple[str, ...]:
    process, host = _process_of(member.name)
    run = member.run or ("load test" if member.name.startswith("load test ") else "-")
    ago = "now" if member.seen_ago < _NOW else f"{duration(member.seen_ago)} ago"
    return (
        "-" if process is None else str(process),
        shown(host or "-"),
        shown(run),
        count(member.in_flight),
        count(member.waiting),
        "-" if member.sent_in_window is None else count(member.sent_in_window),
        count(member.sent),
        f"{ago}, has ended" if has_ended else ago,
    )
