"""The closed catalogue of checks: what each says, whether it is a breach, and where it is over several events the query for it.

In: the tables of ``store``. Out: (topic, partition, offset, detail) of every fact that breaks a rule. Keeps nothing.

How what is missing is told from what was forgotten: the broker forgets the beginning of each partition, of each topic on its own.
An event whose cause lay before the first kept message of the cause's partition is not held against anybody. When the cause lay
there is known from the event where it says when its request was asked; else it is at most so long ago as a request may wait
(``longest_ms``), or as feedback may come (``feedback_ms``). ``margin_ms`` is what clocks may differ by.
"""

from dataclasses import dataclass
from typing import Literal

from streams.cli.verifying.expected import Expected

MARGIN_MS = 600_000
LONGEST_MS = 3_600_000
"""The longest deadline that a request may have: for so long, at most, a plan waits."""
LETTERS_KEPT_MS = 14 * 86_400_000

Kind = Literal["breach", "notice"]


@dataclass(frozen=True)
class Check:
    """One rule; ``sql`` is empty where it shows in single events. A notice is worth knowing and breaks nothing."""

    name: str
    says: str
    sql: str = ""
    kind: Kind = "breach"


def parameters(expected: Expected, *, now_us: int, grace_ms: int) -> dict[str, int]:
    """Give the numbers that the queries name, in milliseconds."""
    return {
        "now_ms": now_us // 1_000,
        "grace_ms": grace_ms,
        "margin_ms": MARGIN_MS,
        "longest_ms": LONGEST_MS + MARGIN_MS,
        "letters_ms": LETTERS_KEPT_MS - MARGIN_MS,
        "finished_ms": int(expected.finished_window_ms),
        "feedback_ms": int(expected.feedback_window_ms) + LONGEST_MS + MARGIN_MS,
        "orphan_ms": int(expected.orphan_wait_ms),
    }


WAITING = """
CREATE TEMP TABLE waiting AS
WITH asked AS (
    SELECT who, arg_min(part, off) AS part, min(off) AS off, max(until_us) AS until_us, min(logged_ms) AS logged_ms
    FROM request GROUP BY who
),
unanswered AS (SELECT * FROM asked ANTI JOIN response USING (who)),
planned AS (SELECT who, max(until_us) AS until_us FROM plan SEMI JOIN unanswered USING (who) GROUP BY who),
given_up AS (
    SELECT r.who FROM request r JOIN letter l ON l.stage = 'router' AND l.topic = 'requests' AND l.part = r.part AND l.off = r.off
    UNION
    SELECT p.who FROM plan p JOIN letter l ON l.stage = 'generator' AND l.topic = 'routing' AND l.part = p.part AND l.off = p.off
    UNION
    SELECT d.who
    FROM deferred d JOIN letter l ON l.stage = 'generator' AND l.topic = 'deferred' AND l.part = d.part AND l.off = d.off
)
SELECT
    u.part, u.off, greatest(u.until_us, coalesce(p.until_us, 0)) AS until_us,
    CASE
        WHEN u.who IN (SELECT who FROM given_up) THEN 'in_dead_letters'
        WHEN cut.first_ms IS NOT NULL AND u.logged_ms <= cut.first_ms + {margin_ms} THEN 'cut'
        WHEN greatest(u.until_us, coalesce(p.until_us, 0)) >= ({now_ms} - {grace_ms}) * 1000 THEN 'open'
        ELSE 'unanswered'
    END AS state
FROM unanswered u
LEFT JOIN planned p USING (who)
LEFT JOIN cut ON cut.topic = 'responses' AND cut.part = u.part
"""
"""Every request without a terminal response, and why that may be."""


def _missing(
    effect: str, topic: str, cause: str, *, cause_topic: str, asked: str, of: str = "", on: str = "who"
) -> str:
    """The query of an effect without its cause; ``asked``: when the cause cannot have been later, in ms."""
    where = f"WHERE {of}" if of else ""
    return f"""
        SELECT '{topic}' AS topic, x.part, x.off, '' AS detail
        FROM (SELECT * FROM {effect} {where}) x ANTI JOIN {cause} c ON {on.format(x="x", c="c")}
        LEFT JOIN cut ON cut.topic = '{cause_topic}' AND cut.part = x.part
        WHERE cut.first_ms IS NULL OR {asked} > cut.first_ms + {{margin_ms}}
    """  # noqa: S608 - names of ours


_SAME = "{x}.who = {c}.who"


def _rewritten(table: str, topic: str) -> str:
    return f"""
        SELECT '{topic}' AS topic, max(part) AS part, max(off) AS off, count(*) || ' events with one id' AS detail
        FROM {table} GROUP BY id HAVING min(digest) <> max(digest)
    """  # noqa: S608 - names of ours


_RESPONSES_DIFFER = """
    SELECT 'responses' AS topic, max(part) AS part, max(off) AS off, count(*) || ' responses, ' ||
        CASE WHEN min(id) <> max(id) THEN 'different ids' ELSE 'one id' END || ', different content' AS detail
    FROM response GROUP BY who
    HAVING (min(id) <> max(id) OR min(digest) <> max(digest)) AND max(logged_ms) - min(logged_ms) {compared} {{finished_ms}}
"""

CHECKS: tuple[Check, ...] = (
    Check(
        "unanswered",
        "a request has no terminal response, its deadline has passed, and it is in no dead letters",
        """SELECT 'requests' AS topic, part, off, 'wanted until ' || make_timestamp(until_us) AS detail
        FROM waiting WHERE state = 'unanswered'""",
    ),
    Check("answered_twice", "a request has two different terminal responses", _RESPONSES_DIFFER.format(compared="<=")),
    Check(
        "rewritten_generation", "one event id stands for different generations", _rewritten("generation", "generation")
    ),
    Check("rewritten_reward", "one event id stands for different rewards", _rewritten("reward", "rewards")),
    Check(
        "plan_without_request",
        "a plan has no request",
        _missing("plan", "routing", "request", cause_topic="requests", asked="x.asked_ms", on=_SAME),
    ),
    Check(
        "generation_without_plan",
        "a generation has no plan",
        _missing(
            "generation", "generation", "plan", cause_topic="routing", asked="x.logged_ms - {longest_ms}", on=_SAME
        ),
    ),
    Check(
        "response_without_request",
        "a response has no request",
        _missing("response", "responses", "request", cause_topic="requests", asked="x.asked_ms", on=_SAME),
    ),
    Check(
        "answer_without_plan",
        "an answer has no plan",
        _missing("response", "responses", "plan", cause_topic="routing", asked="x.asked_ms", of="answered", on=_SAME),
    ),
    Check(
        "answer_without_generation",
        "an answer names a generation that there is not",
        _missing(
            "response",
            "responses",
            "generation",
            cause_topic="generation",
            asked="x.asked_ms",
            of="answered",
            on="{x}.generation = {c}.id",
        ),
    ),
    Check(
        "reward_without_answer",
        "a reward has no answer",
        _missing(
            "reward",
            "rewards",
            "(SELECT who FROM response WHERE answered)",
            cause_topic="responses",
            asked="x.logged_ms - {feedback_ms}",
            on=_SAME,
        ),
    ),
    Check(
        "feedback_without_request",
        "feedback has no request, and is in no dead letters",
        """
        SELECT 'feedback' AS topic, x.part, x.off, '' AS detail
        FROM (SELECT * FROM feedback WHERE logged_ms < {now_ms} - {grace_ms} - {orphan_ms}) x
        ANTI JOIN request r ON x.who = r.who
        ANTI JOIN letter l ON l.stage = 'evaluator' AND l.topic = 'feedback' AND l.part = x.part AND l.off = x.off
        LEFT JOIN cut ON cut.topic = 'requests' AND cut.part = x.part
        WHERE cut.first_ms IS NULL OR x.logged_ms - {feedback_ms} > cut.first_ms
        """,
    ),
    Check("probabilities", "a plan's probabilities are not between 0 and 1, or do not sum to 1"),
    Check("floor_share", "a plan leaves a candidate less than its share of the exploration"),
    Check("propensity", "a plan's propensity is not the probability of what was chosen"),
    Check("draw", "a plan's draw is not its request's, or does not fall on what was chosen"),
    Check("profile_order", "a profile came after a newer one, or one version has two contents"),
    Check("profile_parent", "a profile replaces one that there is not"),
    Check("profile_never_was", "a plan names a profile that never existed"),
    Check(
        "cost",
        "a response's cost is not the sum of its generations'",
        """
        WITH paid AS (
            SELECT who, sum(cost_usd) AS cost_usd
            FROM (SELECT who, id, max(cost_usd) AS cost_usd FROM generation GROUP BY who, id) GROUP BY who
        ),
        stated AS (
            SELECT who, max(part) AS part, max(off) AS off, max(cost_usd) AS cost_usd, bool_or(given_up) AS given_up,
                min(asked_ms) AS asked_ms
            FROM response GROUP BY who HAVING min(digest) = max(digest)
        )
        SELECT 'responses' AS topic, s.part, s.off,
            format('{{:.9g}} USD, its generations {{:.9g}} USD', s.cost_usd, coalesce(paid.cost_usd, 0)) AS detail
        FROM stated s LEFT JOIN paid USING (who)
        LEFT JOIN cut ON cut.topic = 'generation' AND cut.part = s.part
        WHERE abs(s.cost_usd - coalesce(paid.cost_usd, 0)) > 1e-9 + 1e-6 * s.cost_usd
            AND NOT (s.given_up AND s.cost_usd > coalesce(paid.cost_usd, 0))
            AND (cut.first_ms IS NULL OR s.asked_ms > cut.first_ms + {margin_ms})
        """,
    ),
    Check(
        "untraced",
        "bytes that are no event are in nobody's dead letters",
        """
        SELECT g.topic, g.part, g.off, '' AS detail
        FROM garbage g ANTI JOIN letter l ON l.topic = g.topic AND l.part = g.part AND l.off = g.off
        WHERE g.logged_ms BETWEEN {now_ms} - {letters_ms} AND {now_ms} - {grace_ms} AND NOT g.topic LIKE '%-dlq'
        """,
    ),
    Check(
        "letter_unreadable",
        "a dead letter cannot be read",
        "SELECT topic, part, off, '' AS detail FROM garbage WHERE topic LIKE '%-dlq'",
    ),
    Check(
        "answered_again",
        "a request was sent again after finished answers were forgotten, and answered anew",
        _RESPONSES_DIFFER.format(compared=">"),
        kind="notice",
    ),
    Check(
        "id_reused",
        "a caller sent different requests under one id; the first holds",
        _rewritten("request", "requests"),
        kind="notice",
    ),
)
"""Every check, in the order in which a report names them."""

TOPIC_OF = {
    "request": "requests",
    "plan": "routing",
    "generation": "generation",
    "response": "responses",
    "feedback": "feedback",
    "reward": "rewards",
}
