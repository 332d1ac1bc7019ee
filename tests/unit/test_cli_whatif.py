"""``penstock whatif`` on the public file of a small storage: a policy file in, a report and a verdict out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.deciding import policy
from agents.deciding.choosing import believed_of, by_heads
from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.governance import Floor
from agents.deciding.held import Profile
from agents.deciding.learned import read
from agents.deciding.policy_file import PolicyFile
from agents.loading.reading import load_catalogue
from analytics.offpolicy.logged import Logged
from analytics.offpolicy.redeciding import Decided, InForce, Redecider, judged_log
from analytics.public import publish
from analytics.storage import Storage
from schemas import Candidate, Incumbent
from tests.analytics_events import LOCAL, REMOTE, Log, answered, failed, request, rewarded, routed
from tests.cli_world import NOW_US, World
from tests.deciding_parts import DEFAULT, belief, heads, profile

ROOT = Path(__file__).parents[2]
HOUR_US = 3_600_000_000
REQUESTS = 1_200


def even(**shares):
    return tuple(
        Candidate(strategy=name, probability=share, quality=0.8, quality_lower=0.7, cost_usd=0.001, latency_ms=20.0)
        for name, share in shares.items()
    )


def history(share_of_remote, rng, *, requests=REQUESTS):
    """Half support, where the remote strategy is much better; half general, where both are alike and it costs ten times as much."""
    candidates = even(**{LOCAL: 1 - share_of_remote, REMOTE: share_of_remote})
    for number in range(requests):
        remote = bool(rng.random() < share_of_remote)
        kind = ("support", "general")[number % 2]
        good = rng.random() < (0.9 if remote or kind == "general" else 0.4)
        plan = routed(
            request(f"r{number}", at_us=NOW_US - 24 * HOUR_US + number * 1_000_000),
            version=0,
            strategy=REMOTE if remote else LOCAL,
            content_type=kind,
            propensity=share_of_remote if remote else 1 - share_of_remote,
            candidates=candidates,
            features=(float(rng.random()), 0.5),
            quality_floor=0.6,
        )
        yield plan.request
        yield plan
        yield answered(plan, cost_usd=0.01 if remote else 0.001, strategy=REMOTE if remote else LOCAL)
        yield rewarded(plan, reward=float(good))


def stored(tmp_path, *events):
    storage, log = Storage(tmp_path / "analytics", "cluster"), Log()
    storage.take(log.batch(*events), NOW_US)
    publish(storage, NOW_US)
    storage.close()
    return World(tmp_path)


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("explored"), *history(0.4, np.random.default_rng(31)))


def asked(world, content, *options):
    path = world.var / "policy.yaml"
    path.write_text(content, encoding="utf-8")
    return world.penstock("whatif", "--policy", str(path), "--since", "7d", *options)


def report(world, content, *options):
    result = asked(world, content, "--json", "-", *options)
    return result.exit_code, json.loads(result.stdout)


def test_a_better_policy_passes_the_gate_and_the_report_says_who_wins(explored):
    status, found = report(explored, f"shares: {{support: {{{REMOTE}: 1}}, general: {{{LOCAL}: 1}}}}")

    assert status == 0
    assert found["verdict"] == "promote"
    assert found["requests"] == REQUESTS
    outcomes = found["estimate"]["outcomes"]
    for method in ("doubly_robust", "snips", "ips"):
        assert outcomes["quality"][method]["mean"] == pytest.approx(0.9, abs=0.06)
    assert outcomes["cost_usd"]["doubly_robust"]["lower"] <= 0.0055 <= outcomes["cost_usd"]["doubly_robust"]["upper"]
    changes = {each["content_type"]: each["change"] for each in found["content_types"]}
    assert changes == {"support": "wins", "general": "wins"}
    assert found["shares"][REMOTE] == {"running": pytest.approx(0.4), "new": pytest.approx(0.5)}


def test_a_worse_policy_is_kept_out_with_status_1(explored):
    status, found = report(explored, f"fixed: {LOCAL}")

    assert (status, found["verdict"]) == (1, "keep")
    assert {each["content_type"]: each["change"] for each in found["content_types"]} == {
        "support": "loses",
        "general": "wins",
    }


def test_what_was_never_tried_is_no_promise_and_the_report_says_how_long_to_log(tmp_path):
    world = stored(tmp_path, *history(0.02, np.random.default_rng(32), requests=600))
    status, found = report(world, f"fixed: {REMOTE}")

    assert (status, found["verdict"]) == (1, "log_more")
    assert [each["name"] for each in found["conditions"] if each["held"] is False] == ["sample_size"]
    needed = {each["exploration"]: each for each in found["log_longer"]}
    assert needed[0.5]["requests_for_sample_size"] == 2_000, "a quarter of the requests tell about it: 500 are 2,000"
    assert needed[0.05]["days"] > needed[0.5]["days"] > 1
    assert "no promise" in asked(world, f"fixed: {REMOTE}").stdout


def test_the_learned_policy_is_decided_again_by_the_code_that_serves(explored):
    _, rules = report(explored, "profile: 0\nexploration: 0.2")
    shares = {name: each["new"] for name, each in rules["shares"].items()}
    assert shares == {LOCAL: pytest.approx(0.9), REMOTE: pytest.approx(0.1)}

    result = asked(explored, "profile: 7")
    assert result.exit_code == 2
    assert "no version 7" in result.output


def test_a_stored_profile_decides_as_it_would_have_served(tmp_path):
    learned = profile(
        belief(LOCAL, "support", "middle", quality=0.4, cost_usd=0.001),
        belief(REMOTE, "support", "middle", quality=0.9, cost_usd=0.01),
        belief(LOCAL, "general", "middle", quality=0.9, cost_usd=0.001),
        belief(REMOTE, "general", "middle", quality=0.9, cost_usd=0.01),
        scope="customer_support",
        version=3,
        incumbents=tuple(
            Incumbent(content_type=kind, band="middle", strategy=name, since_version=1)
            for kind, name in (("support", REMOTE), ("general", LOCAL))
        ),
    )
    world = stored(tmp_path, *history(0.4, np.random.default_rng(33), requests=400), learned)
    _, found = report(world, "profile: 3\nquality_floor: 0.8\npriority: balanced\nexploration: 0.1")

    served = Profile.of(learned)
    catalogue = load_catalogue(ROOT / "infra" / "strategies.yaml", {"PENSTOCK_PROVIDER": "embedded"})
    expected = [
        policy.decide(
            {name: served.estimate(catalogue, catalogue.strategy(name), kind, "middle") for name in (LOCAL, REMOTE)},
            incumbent=served.incumbent(catalogue, kind, "middle"),
            floor=Floor("absolute", 0.8),
            priority="balanced",
            exploration=0.1,
        ).probabilities[REMOTE]
        for kind in ("support", "general")
    ]
    assert expected[0] > 0.9
    assert found["shares"][REMOTE]["new"] == pytest.approx(sum(expected) / 2)
    _, colder = report(world, "profile: 3\nquality_floor: 0\nexploration: 0.1")
    assert colder["floor"] == 0


def test_a_pinned_request_keeps_its_strategy_and_one_that_is_gone_gets_nothing():
    catalogue = load_catalogue(ROOT / "infra" / "strategies.yaml", {"PENSTOCK_PROVIDER": "embedded"})
    settings = {"w": InForce(Floor("absolute", 0.5), 0.1, "balanced")}

    def again(stated, probabilities):
        decided = Decided("w", "w", "general", "low", 0, None, probabilities)
        return Redecider(PolicyFile.model_validate(stated), catalogue, settings, {}).decide(decided)

    assert again({}, {"gone": 1.0}) == {"gone": 1.0}
    assert again({"fixed": REMOTE}, {LOCAL: 1.0}) == {LOCAL: 1.0}
    assert again({}, {LOCAL: 0.5, REMOTE: 0.3, "gone": 0.2}) == {
        LOCAL: pytest.approx(0.95),
        REMOTE: pytest.approx(0.05),
    }
    assert again({}, {"gone": 0.5, "lost": 0.5}) == {"gone": 0.5, "lost": 0.5}


def test_failures_count_as_no_quality_and_what_waits_for_a_reward_is_left_out(tmp_path):
    plans = [routed(request(f"r{n}", at_us=NOW_US - HOUR_US), version=0) for n in range(12)]
    events = [each for plan in plans for each in (plan.request, plan)]
    lost = [failed(plan.request) for plan in plans[:4]]
    good = [each for plan in plans[4:10] for each in (answered(plan), rewarded(plan, reward=1.0))]
    world = stored(tmp_path, *events, *lost, *good, *(answered(plan) for plan in plans[10:]))
    _, found = report(world, f"fixed: {LOCAL}")

    assert (found["requests"], found["unrewarded"]) == (10, 2)
    assert found["estimate"]["outcomes"]["quality"]["running"]["mean"] == pytest.approx(0.6)


def test_text_and_page_tell_the_same_and_the_page_loads_nothing(explored, tmp_path):
    stated = f"name: 'less & <more>'\nfixed: {LOCAL}"
    page, plain = tmp_path / "impact.html", tmp_path / "impact.json"
    result = asked(explored, stated, "--page", str(page), "--json", str(plain))

    assert "keep what is running" in result.stdout
    text = page.read_text(encoding="utf-8")
    assert "keep what is running" in text
    assert "less &amp; &lt;more&gt;" in text
    assert text.count("<svg") == 3
    assert "http" not in text
    assert "<script" not in text
    assert "<more>" not in text
    assert json.loads(plain.read_text(encoding="utf-8"))["policy"] == "less & <more>"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("fixed: balanced-semantik", "balanced-semantic"),
        ("fixd: balanced-semantic", "fixed"),
        ("shares: {general: {balanced-semantic: 0.7}}", "sum to 0.7"),
        ("fixed: balanced-semantic\nshares: {general: {balanced-semantic: 1}}", "exclude each other"),
        ("fixed: balanced-semantic\npriority: balanced", "say nothing beside fixed"),
        ("exploration: 2", "a number from 0 to 1"),
    ],
)
def test_a_mistake_in_the_policy_is_told_with_its_line(explored, stated, said):
    result = asked(explored, stated)

    assert result.exit_code != 0
    assert said in result.output
    assert "policy.yaml:" in result.output


def test_a_log_without_outcomes_is_no_log(tmp_path):
    world = stored(tmp_path, request("r1"))
    result = asked(world, f"fixed: {LOCAL}")

    assert result.exit_code == 2
    assert "no request" in result.output


def with_heads(features_of, *, version=3):
    """Requests that heads decided, and the profile that they are of."""
    known = read(heads())
    assert known is not None
    asks = []
    for number in range(300):
        features = features_of(number)
        plan = Profile("w", version, heads=known)
        estimates = {each: plan.estimate(DEFAULT, DEFAULT.strategy(each), "general", "low") for each in DEFAULT.ids}
        believed = believed_of(known, np.array(features), estimates, Floor("relative", 0.95))
        served = by_heads(
            believed, believed.estimates, floor=Floor("relative", 0.95), priority="balanced", exploration=0.05
        )
        shares = served.decision.probabilities
        asks.append(Decided("w", "w", "general", "low", version, None, shares, tuple(features), "words@1"))
    return asks, {("w", version): Profile("w", version, heads=known)}


def vector(number):
    return np.random.default_rng(number).normal(0.0, 0.1, PLAIN + EMBEDDED).tolist()


def redecided(stated, asks, profiles, known=None):
    settings = {"w": InForce(Floor("relative", 0.95), 0.05, "balanced")}
    redecider = Redecider(PolicyFile.model_validate(stated), DEFAULT, settings, profiles, known)
    return [redecider.decide(each) for each in asks]


def test_what_heads_decided_is_decided_again_with_the_probabilities_that_were_logged():
    asks, profiles = with_heads(vector)
    for again, ask in zip(redecided({}, asks, profiles), asks, strict=True):
        assert again == pytest.approx(ask.probabilities)


def test_a_request_of_another_encoder_is_decided_by_the_beliefs_about_its_kind():
    asks, profiles = with_heads(vector)
    other = replace(asks[0], encoder="words@2")
    (again,) = redecided({}, [other], profiles)
    assert again != pytest.approx(other.probabilities)
    assert sum(again.values()) == pytest.approx(1.0)


def test_another_floor_is_traded_for_anew_on_the_log():
    asks, profiles = with_heads(vector)
    chance = np.random.default_rng(3)
    tiers = np.array([("simple", "balanced", "premium").index(DEFAULT.strategy(name).tier) for name in DEFAULT.ids])
    chosen = np.array([chance.choice(len(DEFAULT.ids), p=list(ask.probabilities.values())) for ask in asks])
    log = Logged(
        strategies=DEFAULT.ids,
        features=np.zeros((300, 1)),
        eligible=np.ones((300, len(DEFAULT.ids)), dtype=bool),
        probabilities=np.array([list(ask.probabilities.values()) for ask in asks]),
        chosen=chosen,
        outcomes={
            "quality": 0.6 + 0.15 * tiers[chosen],
            "cost_usd": np.full(300, 1e-6),
            "latency_ms": np.full(300, 9.0),
        },
        kinds=np.full(300, "general"),
    )

    def cost(floor):
        shares = redecided(
            {"quality_floor": {"relative": floor}}, asks, profiles, lambda each: judged_log(each, asks, log)
        )
        prices = 4.0**tiers
        return np.mean([np.dot(list(each.values()), prices) for each in shares])

    assert cost(0.5) < 0.7 * cost(0.999)
