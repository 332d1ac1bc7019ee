"""A model server of a test's own that speaks OpenAI's protocol, counts what would have to be paid, and can be made to wait."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.hosted import completion


class PaidModel:
    """Answers every question with itself; `calls` counts by question. While `held`, calls wait."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._guard = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._go_on = threading.Event()
        self._go_on.set()

    def calls(self, question: str) -> int:
        """How often a question was asked."""
        with self._guard:
            return self._calls[question]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no call end within the context."""
        self._go_on.clear()
        try:
            yield
        finally:
            self._go_on.set()

    def answer(self, body: dict[str, Any]) -> bytes:
        """Count a call and give its answer."""
        question = body["messages"][-1]["content"]
        with self._guard:
            self._calls[question] += 1
        self._go_on.wait(60)
        return json.dumps(completion(body["model"], f"You asked: {question}")).encode()


@contextmanager
def paid_model(kind: type[PaidModel] = PaidModel) -> Iterator[PaidModel]:
    """A paid model of this kind that listens on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            raw = model.answer(body)
            try:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except ConnectionError:  # who asked was killed meanwhile
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a connection that a kill -9 broke is no news
            return

    with Server(("127.0.0.1", 0), Handler) as server:
        model = kind(server.server_address[1])
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield model
        finally:
            server.shutdown()
            serving.join()
