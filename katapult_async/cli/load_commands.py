"""The commands of load tests: `load run`, `show`, `report`, `compare` and `merge`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from katapult_async.cli.numbers import whole
from katapult_async.cli.options import Limits, Organization, Yes
from katapult_async.cli.program import command, group
from katapult_async.cli.settings import ORGANIZATION

if TYPE_CHECKING:
    from katapult_async.load import Schedule

# Optional[...] and List[...], because typer evaluates these annotations on Python 3.10, too.
# ruff: noqa: UP045

load = group("load", "Load tests: latency and throughput under a load.")


def _late(name: str) -> Any:
    """Return a parser of `load_values`, which is imported when it is used.

    It imports the client, which the help of other commands must not load.
    """

    def parse(value: Any) -> Any:
        from katapult_async.cli import load_values

        return getattr(load_values, name)(value)

    return parse


@dataclass(frozen=True)
class Load:
    """The options that say when requests are sent."""

    rate: Annotated[
        Optional[float],
        typer.Option(
            parser=_late("parse_rate"), metavar="RATE", help="Open loop at a fixed rate: 500, 500/s, 30/min."
        ),
    ] = None
    poisson: Annotated[
        Optional[float],
        typer.Option(
            parser=_late("parse_rate"), metavar="RATE", help="Open loop at random, as independent users."
        ),
    ] = None
    ramp: Annotated[
        Optional[str],
        typer.Option(
            parser=_late("parse_ramp"),
            metavar="A:B",
            help="Open loop from rate A to rate B, for example 10:500.",
        ),
    ] = None
    in_flight: Annotated[
        Optional[int],
        typer.Option(parser=whole(1), metavar="N", help="Closed loop: N users, each waits for its response."),
    ] = None
    think: Annotated[
        float,
        typer.Option(
            parser=_late("parse_duration"),
            metavar="TIME",
            show_default=False,
            help="Pause of each user after a response.",
        ),
    ] = 0.0
    duration: Annotated[
        float,
        typer.Option(
            "--for",
            parser=_late("parse_duration"),
            metavar="TIME",
            show_default=False,
            help="Measured time, such as 5min. [default: 60s]",
        ),
    ] = 60.0
    warm_up: Annotated[
        float,
        typer.Option(
            parser=_late("parse_duration"),
            metavar="TIME",
            show_default=False,
            help="Time before it that is not measured.",
        ),
    ] = 0.0
    max_in_flight: Annotated[
        int,
        typer.Option(parser=whole(1), metavar="N", help="Most requests in flight in an open loop."),
    ] = 2000
    max_lag: Annotated[
        float,
        typer.Option(
            parser=_late("parse_duration"),
            metavar="TIME",
            show_default=False,
            help="By how much 1 % of the requests may start late. More makes the result invalid. [default: 20ms]",
        ),
    ] = 0.02
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same random times.")] = 0
    part: Annotated[
        Optional[str],
        typer.Option(parser=_late("parse_part"), metavar="K/N", help="Share of this process, the K-th of N."),
    ] = None
    start_at: Annotated[
        Optional[float],
        typer.Option(
            parser=_late("parse_start"),
            metavar="TIME",
            help="Start at this time: 15:30:00, or 2026-11-24T15:30:00Z.",
        ),
    ] = None

    def schedule(self) -> Schedule:
        """Return the loop. Exits with 2 unless exactly one is given."""
        from katapult_async.cli.exit_codes import refuse
        from katapult_async.load import ClosedLoop, FixedRate, OpenLoop, Poisson

        given = [one for one in (self.rate, self.poisson, self.ramp, self.in_flight) if one is not None]
        if len(given) != 1:
            refuse("give one of --rate, --poisson, --ramp (open loop) and --in-flight (closed loop)")
        if self.in_flight is None and self.think:
            refuse("--think is the pause of a user in a closed loop: add --in-flight, or leave it out")
        try:
            if self.in_flight is not None:
                return ClosedLoop(in_flight=self.in_flight, think=self.think)
            arrivals: Any = self.ramp
            if self.rate is not None:
                arrivals = FixedRate(self.rate)
            elif self.poisson is not None:
                arrivals = Poisson(self.poisson, self.seed)
            return OpenLoop(arrivals=arrivals, max_in_flight=self.max_in_flight)
        except ValueError as exc:
            refuse(str(exc))


FailIf = Annotated[
    Optional[list[str]],
    typer.Option(
        "--fail-if",
        parser=_late("parse_threshold"),
        metavar="CONDITION",
        help="Exit with 1 if it is true: p99>300ms, errors>1%, achieved<95%, assign:max>2s. Repeatable.",
    ),
]
ResultFile = Annotated[
    str,
    typer.Argument(metavar="RESULT", show_default=False, help="A file that load run --output has written."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]


@command(
    "load run disk --organization acme --rate 10 --for 60s",
    "load run assign --manifest plan.csv --poisson 20 -o a.json",
    "load run disk=8,assign=1 --manifest plan.csv --in-flight 16",
    name="run",
    on=load,
)
def load_run(
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION",
            show_default=False,
            help="disk (read disks), list (list disks), assign (assign, then unassign), or a mix with weights: "
            "disk=8,list=1,assign=1. [default: disk]",
        ),
    ] = "disk",
    *,
    load: Load,
    manifest: Annotated[
        Optional[str],
        typer.Option(
            "--manifest", metavar="FILE", help="Disks and machines, as for assign. - is standard input."
        ),
    ] = None,
    organization: Organization = None,
    output: Annotated[
        Optional[str],
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the result (JSON), for load show and others."
        ),
    ] = None,
    html: Annotated[
        Optional[str], typer.Option("--html", metavar="FILE", help="Write a page for a browser.")
    ] = None,
    hlog: Annotated[
        Optional[str], typer.Option("--hlog", metavar="FILE", help="Write a log for tools of HdrHistogram.")
    ] = None,
    fail_if: FailIf = None,
    ignore_limit: Annotated[
        bool, typer.Option("--ignore-limit", help="Send without regard to the rate limit. 429s are results.")
    ] = False,
    i_own_this: Annotated[
        Optional[list[str]],
        typer.Option("--i-own-this", metavar="HOST", help="Permit the test of a host besides this machine."),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress.")] = False,
    access: Limits,
) -> None:
    """Send a load and measure latency, throughput and errors.

    In an open loop, latency counts from when a request should have been sent, so a stalled server
    cannot hide its stall. Shows what it will do, and asks.

    Refuses hosts that are not this machine unless --i-own-this names them. disk and list change
    nothing. assign unassigns its disks again, also after Ctrl-C, unless it is killed, interrupted a
    third time, or loses the network. Exits with 1 if the result is not valid.
    """
    from katapult_async.cli.exit_codes import refuse
    from katapult_async.cli.load_files import WRITERS, check_writable
    from katapult_async.cli.load_run import Wanted, run_load
    from katapult_async.load import Part, Plan

    schedule = load.schedule()
    sources = access.sources(organization)
    part: Any = load.part
    files = [
        (path, WRITERS[suffix])
        for option, name, suffix in (
            ("--output", output, ".json"),
            ("--html", html, ".html"),
            ("--hlog", hlog, ".hlog"),
        )
        if (path := check_writable(option, name)) is not None
    ]
    try:
        plan = Plan(
            schedule=schedule,
            duration=load.duration,
            warm_up=load.warm_up,
            part=part or Part(),
            max_lag=load.max_lag,
        )
    except ValueError as exc:
        refuse(str(exc))
    thresholds: Any = fail_if or []
    wanted = Wanted(
        action=action,
        manifest=manifest,
        organization=sources.find(ORGANIZATION).value,
        seed=load.seed,
        ignore_limit=ignore_limit,
        owned_hosts=tuple(i_own_this or ()),
        start_at=load.start_at,
        thresholds=list(thresholds),
        files=files,
        yes=yes,
        as_json=as_json,
        quiet=False,
        no_progress=no_progress,
    )
    sys.exit(run_load(wanted, plan, access.settings(sources), sources))


@command("load show a.json", "load show a.json --fail-if 'p99>300ms'", name="show", on=load)
def load_show(result: ResultFile, fail_if: FailIf = None, as_json: AsJson = False) -> None:
    """Show the result of a load test.

    Exits with 1 if it is not valid, or if a condition of --fail-if is true.
    """
    from katapult_async.cli.load_results import run_show

    thresholds: Any = fail_if or []
    sys.exit(run_show(result, list(thresholds), as_json=as_json))


@command("load report a.json -o a.html", "load report a.json -o a.hlog", name="report", on=load)
def load_report(
    result: ResultFile,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            help="The file. Its name chooses the format: .html, .hlog, .json or .txt.",
        ),
    ],
) -> None:
    """Write the result of a load test as a page, a histogram log, JSON or text."""
    from katapult_async.cli.load_results import run_report

    sys.exit(run_report(result, output))


@command("load compare a.json b.json", "load compare a.json b.json --html diff.html", name="compare", on=load)
def load_compare(
    one: Annotated[str, typer.Argument(metavar="A", show_default=False, help="The first result.")],
    other: Annotated[str, typer.Argument(metavar="B", show_default=False, help="The second result.")],
    html: Annotated[
        Optional[str], typer.Option("--html", metavar="FILE", help="Write a page for a browser.")
    ] = None,
    fail_if_slower: Annotated[
        bool, typer.Option("--fail-if-slower", help="Exit with 1 if a percentile of B is slower than A's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the difference of two load tests, and whether the noise explains it.

    The interval of each difference is a block bootstrap over the seconds of both tests, because
    neighbouring requests are not independent.
    """
    from katapult_async.cli.load_results import run_compare

    sys.exit(run_compare(one, other, html=html, fail_if_slower=fail_if_slower, as_json=as_json))


@command("load merge part-*.json -o all.json", name="merge", on=load)
def load_merge(
    results: Annotated[
        list[str], typer.Argument(metavar="RESULT...", show_default=False, help="Results of all processes.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Write the sum (JSON).")
    ],
    fail_if: FailIf = None,
) -> None:
    """Add the results of processes that ran one test together.

    The histograms are added without loss. Exits with 1 if a part is not valid.
    """
    from katapult_async.cli.load_results import run_merge

    thresholds: Any = fail_if or []
    sys.exit(run_merge(results, output, list(thresholds)))
