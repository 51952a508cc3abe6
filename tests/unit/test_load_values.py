"""Options of load tests: durations, rates, shares and start times."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest
import typer

from katapult_async.cli.load_values import (
    parse_duration,
    parse_part,
    parse_ramp,
    parse_rate,
    parse_start,
    parse_threshold,
)
from katapult_async.load import HostNotOwned, Part, Ramp
from katapult_async.load.hosts import check_host


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_duration, "60", 60.0),
        (parse_duration, "1.5s", 1.5),
        (parse_duration, "300ms", 0.3),
        (parse_duration, "5 min", 300.0),
        (parse_duration, "1h", 3600.0),
        (parse_rate, "500", 500.0),
        (parse_rate, "0.5/s", 0.5),
        (parse_rate, "30/min", 0.5),
        (parse_ramp, "10:500", Ramp(10, 500)),
        (parse_part, "2/4", Part(2, 4)),
        (parse_start, "2026-11-24T15:30:00Z", 1_795_534_200.0),
        (parse_start, "2026-11-24T16:30:00+01:00", 1_795_534_200.0),
    ],
)
def test_a_value_is_read(parse: Callable[[str], object], text: str, value: object) -> None:
    found = parse(text)
    assert found == value
    assert parse(found) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_duration, text) for text in ("", "5 days", "-1s", "25h", "nan", "1e3")),
        *((parse_rate, text) for text in ("0", "-5", "5/h", "fast")),
        *((parse_ramp, text) for text in ("10", "10:", ":", "0:0", "a:b")),
        *((parse_part, text) for text in ("1", "0/2", "3/2", "a/b", "1/")),
        *((parse_start, text) for text in ("", "25:00", "2026-11-24", "2026-11-24T15:30:00", "now")),
        (parse_threshold, "p99"),
    ],
)
def test_a_wrong_value_is_refused_with_an_example(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected"):
        parse(text)


def test_a_time_of_day_is_the_next_one() -> None:
    soon = parse_start(datetime.fromtimestamp(time.time() + 3600).astimezone().strftime("%H:%M:%S"))
    assert 3590 < soon - time.time() < 3601
    past = parse_start(datetime.fromtimestamp(time.time() - 3600).astimezone().strftime("%H:%M"))
    assert 22 * 3600 < past - time.time() < 23 * 3600 + 1


@pytest.mark.parametrize(
    ("host", "owned", "allowed"),
    [
        ("127.0.0.1:8080", (), True),
        ("[::1]", (), True),
        ("localhost", (), True),
        ("127.9.9.9", (), True),
        ("api.katapult.io", (), False),
        ("localhost.example", (), False),
        ("127.0.0.1.example", (), False),
        ("staging.example", ("staging.example",), True),
        ("staging.example", ("STAGING.example.",), True),
        ("staging.example", ("example",), False),
        ("10.0.0.1", (), False),
    ],
)
def test_only_loopback_and_named_hosts_may_be_loaded(
    host: str, owned: tuple[str, ...], allowed: bool
) -> None:
    url = f"https://{host}/core/v1"
    if allowed:
        check_host(url, owned)
    else:
        with pytest.raises(HostNotOwned, match="--i-own-this"):
            check_host(url, owned)
