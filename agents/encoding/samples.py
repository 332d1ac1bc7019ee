"""Sentences on which an exported encoder must agree with its source.

In and kept: nothing. Out: short, long, formal, sloppy and technical texts. Fails: never.
"""

SAMPLE_SENTENCES: tuple[str, ...] = (
    "Hello",
    "Where is my order?",
    "How do I cancel a subscription before it renews?",
    "The broker listens on port 9092 unless another port is set.",
    "pls help my acount is locked agian and the reset mail never comes",
    "Explain why a consumer may see the same event twice after a crash.",
    "SELECT content_type, count(*) FROM outcomes GROUP BY content_type",
    "def area(width: float, height: float) -> float:\n    return width * height",
    "| topic | key | written by |\n| --- | --- | --- |\n| requests | conversation | callers |",
    "Invoice 2024-118 over 1,250.00 EUR is due on 3 March.",
    "What is the difference between a policy and a profile?",
    "Thank you, that solved it!",
    "This answer was wrong, I asked about refunds and not about returns.",
    "Compare the cost of the small model with the cost of the large one for the same question.",
    "Wie kann ich mein Passwort ändern?",
    "The river rose two metres in a night, and by morning the lower road was under water.",
    "Set `cost_ceiling_usd` in infra/penstock.yaml and restart nothing.",
    "Bake at 180 degrees for forty minutes, then let it rest.",
    "KeyError: 'conversation_id' in worker.py line 42",
    "Summarise the meeting in three bullet points and name who does what until when.",
    (
        "A profile is versioned and immutable. It belongs to one scope. When a newer version arrives, each router replaces the "
        "one it holds; an older version is ignored and counted. Rolling back publishes the old numbers under a new version, so "
        "that the order of versions always tells the order of events. Nobody edits a profile by hand."
    ),
    (
        "First the valve opens, then the water reaches the turbine, the shaft begins to turn, and the generator delivers power to "
        "the grid. If the demand falls, the gate closes step by step. If a bearing grows hot, it closes at once. An operator sees "
        "both on one screen, with the temperature, the flow in cubic metres a second and the reason for the last change."
    ),
)
