"""One hop by Quix Streams with nothing in it, as a process in a virtual environment of its own; imports nothing of ours.

In: ``python hops_quix.py SERVERS SOURCE TARGET FOLDER``. Out: the same messages, key and value as they
are. Keeps nothing. Runs until SIGTERM.
"""

import sys

from quixstreams import Application  # type: ignore[import-not-found,unused-ignore]


def main(servers: str, source: str, target: str, folder: str) -> None:
    """Run the application."""
    app = Application(
        broker_address=servers,
        consumer_group=f"hop-{source}",
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="ERROR",
        producer_extra_config={"linger.ms": 0, "partitioner": "murmur2_random"},
    )
    came = app.topic(source, key_deserializer="bytes", value_deserializer="bytes")
    goes = app.topic(target, key_serializer="bytes", value_serializer="bytes")
    app.dataframe(came).to_topic(goes)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
