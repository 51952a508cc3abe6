"""What a bulk run does with an item after an error."""

from __future__ import annotations

import pytest

from katapult_async.bulk import Verdict, judge
from katapult_async.errors import (
    APIError,
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    KatapultError,
    NotFound,
    ProtocolError,
    RequestTimeout,
    ServerError,
    ServiceUnavailable,
    UnableToAssign,
)


def api(kind: type[APIError], status: int, code: str) -> APIError:
    return kind(status=status, code=code)


@pytest.mark.parametrize(
    ("error", "step", "after_unclear"),
    [
        (ConnectError("x"), Verdict.RETRY, Verdict.RETRY),
        (api(ServiceUnavailable, 503, "service_unavailable"), Verdict.RETRY, Verdict.RETRY),
        (ConnectionLost("x"), Verdict.READ_BACK, Verdict.READ_BACK),
        (RequestTimeout("x"), Verdict.READ_BACK, Verdict.READ_BACK),
        (ProtocolError("x"), Verdict.READ_BACK, Verdict.READ_BACK),
        (api(ServerError, 502, "x"), Verdict.READ_BACK, Verdict.READ_BACK),
        (api(UnableToAssign, 422, "unable_to_assign"), Verdict.CHECK, Verdict.CHECK),
        (api(NotFound, 404, "disk_not_found"), Verdict.FAIL, Verdict.CHECK),
        (api(AuthenticationError, 403, "invalid_api_token"), Verdict.STOP, Verdict.STOP),
    ],
)
def test_what_an_answer_means(error: KatapultError, step: Verdict, after_unclear: Verdict) -> None:
    may_be_done = (UnableToAssign,)
    assert judge(error, unclear_before=False, may_be_done=may_be_done) is step
    assert judge(error, unclear_before=True, may_be_done=may_be_done) is after_unclear
