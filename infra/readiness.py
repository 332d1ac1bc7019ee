"""Whether a Kafka answers at an address: by a real metadata request, not by an open port.

In: an address, a time in s. Out: None if it answers with at least one node, else the reason. Keeps
nothing, raises nothing.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_silent = logging.getLogger("penstock.readiness")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False

_POLL_S = 0.05


def answers(bootstrap_servers: str, *, within_s: float) -> str | None:
    """Ask for metadata until somebody answers; None, or why not, after at most about `within_s`."""
    deadline = time.monotonic() + within_s
    if not _port_opens(bootstrap_servers, deadline):
        return "no connection"
    # librdkafka waits longer after each refusal; that is why the port is tried before it is asked.
    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        "socket.timeout.ms": 5000,
        "reconnect.backoff.max.ms": 200,
        "log_level": 0,
        "error_cb": lambda _error: None,
    }
    client = AdminClient(settings, logger=_silent)
    try:
        metadata = client.list_topics(timeout=max(0.5, deadline - time.monotonic()))
    except KafkaException as error:
        return str(error.args[0].str()) if error.args else str(error)
    return None if metadata.brokers else "it knows of no node yet"


def _port_opens(bootstrap_servers: str, deadline: float) -> bool:
    # Of several servers one is enough.
    addresses = [_split(server) for server in bootstrap_servers.split(",")]
    while True:
        for host, port in addresses:
            with contextlib.suppress(OSError):
                socket.create_connection((host, port), timeout=1.0).close()
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]") or "localhost", int(port) if port.isdigit() else 9092
