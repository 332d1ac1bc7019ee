"""What is down does not stop the rest: no model, no analytics."""

from __future__ import annotations

from schemas import ResponseFailed, ResponseReady
from streams.supervisor import MODELS
from tests.loop import Loop
from tests.waiting import eventually

DEADLINE_MS = 3_000


def test_with_no_provider_requests_fail_after_their_deadline_and_with_one_again_they_are_answered(loop: Loop) -> None:
    loop.down(MODELS)
    try:
        asked = [loop.request(deadline_ms=DEADLINE_MS) for _ in range(4)]
        ends = loop.ask(*asked)
    finally:
        loop.up(MODELS)
    for request, end in zip(asked, ends, strict=True):
        assert isinstance(end, ResponseFailed)
        assert end.code == "provider_unavailable"
        assert end.error.endswith(".")
        assert end.occurred_at_us >= request.occurred_at_us + DEADLINE_MS * 1_000
    (after,) = loop.ask(loop.request())
    assert isinstance(after, ResponseReady)


def test_a_provider_that_comes_back_before_the_deadline_answers_what_waited(loop: Loop) -> None:
    loop.kill(MODELS)  # its supervisor starts another, at another address
    (answer,) = loop.ask(loop.request(deadline_ms=60_000), within_s=60)
    assert isinstance(answer, ResponseReady)
    eventually(lambda: loop.is_ready(MODELS), 30, describe="the model server")


def test_without_analytics_requests_are_answered_and_later_each_of_them_is_there_once(loop: Loop) -> None:
    tenant = "without-analytics"
    before = [loop.request(tenant=tenant) for _ in range(10)]
    meanwhile = [loop.request(tenant=tenant) for _ in range(20)]
    loop.ask(*before)
    loop.kill("analytics")
    loop.down("analytics")
    try:
        answers = loop.ask(*meanwhile)
        loop.rate((answer, 5) for answer in answers)
        for request in meanwhile[:3]:
            loop.publish("requests", request)  # and a repeat counts no second time
    finally:
        loop.up("analytics")
    assert all(isinstance(answer, ResponseReady) for answer in answers)
    query = "select request_id, count(*) from outcomes where tenant = 'without-analytics' and answered group by all"

    def outcomes() -> dict[str, int]:
        lines = loop.penstock("sql", query, "--csv").stdout.splitlines()[1:]
        return {request: int(count) for request, count in (line.split(",") for line in lines)}

    expected = {request.request_id: 1 for request in (*before, *meanwhile)}
    eventually(lambda: outcomes() == expected, 30, describe="every request once")
    rated = "select count(*) as n from outcomes where tenant = 'without-analytics' and rated"
    eventually(lambda: loop.penstock_json("sql", rated)["n"] == len(meanwhile), 30, describe="every rating")
    assert outcomes() == expected
