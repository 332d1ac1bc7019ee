"""The registry's drawings say what it declares, and a document is held to them."""

from datetime import timedelta

import pytest

from schemas import DeadLettered, RequestReceived
from streams import topology
from streams.topics import TOPICS, Topic

SMALL = {
    "asks": Topic(
        "asks", "conversation", (RequestReceived,), ("caller",), ("router",), timedelta(days=7), "what is asked"
    ),
    "router-dlq": Topic(
        "router-dlq", "as was", (DeadLettered,), ("router",), ("operator",), timedelta(hours=30), "the dead"
    ),
}


def test_the_picture_shows_every_arrow_once_and_dots_what_no_request_depends_on():
    lines = topology.mermaid(SMALL).splitlines()
    assert lines == [
        "flowchart LR",
        "    caller((caller))",
        "    operator((operator))",
        "    router[router]",
        "    asks([asks])",
        "    router-dlq([router-dlq])",
        "    caller --> asks",
        "    asks --> router",
        "    router -.-> router-dlq",
        "    router-dlq -.-> operator",
    ]


def test_the_picture_of_the_registry_has_an_arrow_for_each_writer_and_reader():
    arrows = [line for line in topology.mermaid().splitlines() if "->" in line]
    drawn = [topic for topic in TOPICS.values() if not topic.on_demand]
    assert len(arrows) == sum(len(topic.written_by) + len(topic.read_by) for topic in drawn)
    assert len(set(arrows)) == len(arrows)


def test_the_table_has_a_line_for_each_topic():
    head, rule, *lines = topology.table(SMALL).splitlines()
    assert head.count("|") == rule.count("|") == 8
    assert lines == [
        "| `asks` | conversation | RequestReceived | caller | router | 7 days | what is asked |",
        "| `router-dlq` | as was | DeadLettered | router | operator | 30 hours | the dead |",
    ]


def test_values_name_every_topic_of_the_registry():
    assert [each["topic"] for each in topology.values()] == list(TOPICS)


@pytest.mark.parametrize(
    ("name", "said"),
    [("profile-updates", "the newest of each key"), ("profile-history", "for ever"), ("requests", "7 days")],
)
def test_how_long_a_topic_is_kept_is_said_in_words(name, said):
    assert topology.kept(TOPICS[name]) == said


def test_the_block_between_the_markers_is_replaced_and_nothing_else():
    document = "before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n"
    drawn = topology.with_block(document, "x", "new\n")
    assert drawn == "before\n<!-- x:begin -->\nnew\n<!-- x:end -->\nafter\n"
    assert topology.with_block(drawn, "x", "new\n") == drawn


@pytest.mark.parametrize(
    "document", ["", "no markers", "<!-- x:begin --> but no end", "<!-- x:end --> <!-- y:begin -->"]
)
def test_a_document_without_both_markers_has_no_place_for_a_drawing(document):
    assert topology.with_block(document, "x", "new\n") is None


def test_a_document_that_differs_gives_a_diff_that_names_it():
    said = topology.difference("a\nold\n", "a\nnew\n", "README.md")
    assert said.startswith("--- README.md\n")
    assert "-old\n+new\n" in said
    assert topology.difference("same\n", "same\n", "README.md") == ""
