"""The queueing model against results that are known in closed form."""

import pytest

from tests.benchmarks.queueing import Costs, costs_of, simulated, sized, throughput

NOTHING = Costs(router=0, generator=0, evaluator=0, analytics=0, broker=0, outside=0, hop_ms=0)
LIKE_OURS = Costs(router=1, generator=2, evaluator=1, analytics=0.5, broker=1, outside=0.5, hop_ms=1)


def test_without_work_a_request_takes_its_three_hops_and_the_provider() -> None:
    costs = Costs(**{**vars(NOTHING), "hop_ms": 2.0})
    p50, p99 = simulated(costs, rate=50, seconds=4, provider_ms=10).points_ms
    assert (p50, p99) == pytest.approx((16.0, 16.0))


def test_a_role_of_two_milliseconds_serves_500_a_second_however_many_cores_there_are() -> None:
    costs = Costs(**{**vars(NOTHING), "router": 2.0})
    assert throughput(costs, cores=64, to=0.08) == pytest.approx(500, rel=0.12)


def test_where_the_cores_are_short_they_are_the_limit() -> None:
    costs = Costs(**{**vars(NOTHING), "router": 2.0, "generator": 2.0, "evaluator": 2.0})
    assert throughput(costs, cores=1, to=0.08) == pytest.approx(1_000 / 6, rel=0.12)


def test_calls_in_flight_limit_what_a_worker_does_and_two_do_twice_as_much() -> None:
    one = throughput(NOTHING, calls=32, provider_ms=300, to=0.08)
    assert one == pytest.approx(32 / 0.3, rel=0.15)
    assert throughput(NOTHING, calls=32, provider_ms=300, generators=2, to=0.08) / one == pytest.approx(2, rel=0.12)


def test_more_load_never_makes_a_request_faster() -> None:
    quiet, busy = (simulated(LIKE_OURS, rate=rate, seconds=8).points_ms for rate in (20, 250))
    assert quiet[0] < busy[0]
    assert quiet[1] < busy[1]


def test_an_installation_is_wide_enough_for_its_cpu_and_for_its_calls_in_flight() -> None:
    small = sized(LIKE_OURS, 1_000, provider_s=2.0)
    assert small.generators == max(4, 7), "2,000 calls at once, 512 a worker, 60 % full"
    assert small.partitions >= small.generators
    assert sized(LIKE_OURS, 1_000, provider_s=0.0).generators == 4


def test_a_bench_file_without_a_needed_row_is_named() -> None:
    with pytest.raises(KeyError, match="cpu_ms_per_request_router"):
        costs_of([{"name": "latency_floor_p50", "value": 9.0, "baseline": 3.0}])


def test_a_hop_is_a_third_of_what_two_bare_stages_take() -> None:
    roles = ("router", "generator", "evaluator", "analytics", "broker")
    rows = [{"name": f"cpu_ms_per_request_{role}", "value": 1.0} for role in roles]
    assert costs_of([*rows, {"name": "latency_floor_p50", "value": 9.0, "baseline": 3.0}]).hop_ms == 1.0
