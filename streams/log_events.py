"""The closed catalogue of log events: every name that a line of ours is written under, with what happened.

In: nothing. Out: ``LOG_EVENTS``. Keeps nothing. Cannot fail. A contract test holds every call of a logger to it, and it to them.
"""

from typing import Final

LOG_EVENTS: Final[dict[str, str]] = {
    "broker_does_not_answer": "the watchdog could not ask the broker for the lag",
    "broker_error": "the broker did not answer analytics, or answered with an error",
    "clock_apart_from_brokers": "the clock of this machine is apart from the broker's, which is gone by",
    "compacted_reader_reconnects": "a compacted topic could not be read; it is tried again",
    "consuming": "a stage has partitions and consumes",
    "dead_letter_not_delivered": "a dead letter was not confirmed; it is sent again until it is",
    "dead_lettered": "an event was given up, and is in the dead letters",
    "ended_in_dead_letters": "a request ended in the dead letters alone, because no response could be published",
    "ended_by_an_error": "an error that nobody handled ended a process, a thread or a finalizer",
    "file_unreadable": "a document of a source cannot be read, and is left out",
    "give_up_failed": "a request that was given up could not be ended; it is tried again",
    "handler_failed": "an attempt to handle an event failed",
    "model_server_fault": "the model server failed in a way it does not know",
    "model_server_started": "the model server takes connections",
    "last_words_failed": "the response of a request that was given up could not be published; it is tried again",
    "news_not_published": "that a topic was paused or resumed could not be published; it is tried again",
    "no_metadata": "analytics could not learn the partitions; it is tried again",
    "not_prepared": "what a stage needs before its first event is not there; it is tried again",
    "not_ready": "a worker no longer consumes",
    "override_set": "an emergency override was set or cleared",
    "override_unreadable": "an emergency override has a value that is none",
    "paused": "the limit on dead letters has paused a topic",
    "profile_held": "a router holds a newer profile",
    "profile_published": "a profile was published",
    "profile_too_large": "content types were left out of a profile, because it would have been too large",
    "ready": "a worker consumes",
    "restart_not_published": "that a worker restarts itself could not be published; it restarts",
    "restarts_itself": "the watchdog ends a worker that makes no progress",
    "resumed": "a topic that was paused goes on",
    "rollback_impossible": "a rollback was ordered to a version that is not there",
    "schema_not_looked_up": "the schema of a message could not be looked up",
    "schemas_not_published": "the schemas of this release could not be made known",
    "source_read": "the documents of a source were read",
    "source_read_again": "documents of a source changed, and were read again",
    "source_unreadable": "a source cannot be read",
    "step_failed": "a step of a plan failed for a reason of ours",
    "streaming_ended": "the pieces of an answer could not be published; the answer is",
    "unexpected_event": "an event came that the role has no use for",
    "waiting_for_topics": "analytics waits for topics to be created",
    "warned": "a library gave a warning",
    "watchdog_failed": "a look of the watchdog failed; it looks again",
    "waiting_not_settled": "what was due could not be acted upon; it is tried again",
}
"""Name to meaning."""
