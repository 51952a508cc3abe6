"""When a load test has measured its own client, and says so."""

from __future__ import annotations

import pytest

from katapult_async.load import ClosedLoop
from katapult_async.load.recording import NOT_SENT
from katapult_async.load.validity import notes_of, problems_of
from tests.load_results import Made, part, recording_of_calls, steady


def test_a_test_on_time_has_no_problem() -> None:
    assert problems_of(recording_of_calls(steady(0.01)), part()) == []


def test_a_slow_server_is_no_problem_of_the_client() -> None:
    # A stall of two seconds: each call that was due meanwhile ends after it.
    calls = [call._replace(end=max(call.end, 6.0)) if call.due >= 4 else call for call in steady(0.01)]
    assert problems_of(recording_of_calls(calls), part()) == []


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (
            [call._replace(lag=0.1) for call in steady(0.2)],
            "1 % of its calls started 100 ms late or more (20 ms is accepted). Offer less, use several",
        ),
        ([call._replace(waited=0.6) for call in steady(0.7)], "The rate limit held back 200 of 200 calls"),
        (
            [call._replace(end=call.end + 5) for call in steady(0.01)],
            "The rate was not kept: 100 of 200 calls",
        ),
        ([Made(0.0, 1.0), Made(0.5, 1.0, outcome=NOT_SENT)], "1 call had not been sent"),
        ([], "No call was due"),
    ],
)
def test_each_problem_is_a_sentence(calls: list[Made], words: str) -> None:
    problems = problems_of(recording_of_calls(calls), part())
    assert any(words in problem for problem in problems), problems


def test_a_busy_machine_may_accept_more() -> None:
    (problem,) = problems_of(recording_of_calls([call._replace(lag=0.1) for call in steady(0.2)]), part())
    assert problem.endswith("Offer less, use several processes, or accept more with --max-lag.")


def test_too_many_in_flight_and_waits_for_machines_are_problems() -> None:
    recording = recording_of_calls(steady(0.01))
    recording.full = 3
    for _ in range(50):
        recording.queued.record(0.5)
    problems = problems_of(recording, part())
    assert [problem.partition(",")[0] for problem in problems] == [
        "3 calls started late",
        "50 calls waited for a free machine. The manifest needs more machines",
    ]


def test_a_closed_loop_cannot_miss_its_rate_and_says_what_it_leaves_out() -> None:
    closed = part(schedule=ClosedLoop(in_flight=4))
    recording = recording_of_calls([call._replace(waited=0.6) for call in steady(0.7)])
    assert problems_of(recording, closed) == []
    notes = notes_of(recording, closed)
    assert "In a closed loop a slow server gets fewer requests" in notes[0]
    assert notes[1] == "The rate limit held back 200 calls."


def test_other_notes() -> None:
    recording = recording_of_calls([Made(0.0, 0.1, rate_limited=2)])
    assert notes_of(recording, part()) == ["2 requests got a 429 and was sent again."]
    assert notes_of(recording, part(ignores_limit=True)) == []
    assert notes_of(recording, part(interrupted=True, duration=4.0))[-1] == "The test was stopped after 4 s."
