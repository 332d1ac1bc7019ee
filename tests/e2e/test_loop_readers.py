"""Any number of DuckDB readers query the public views while the pipeline writes; neither waits for the other."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from schemas import ResponseReady
from streams.deployment import ROOT
from tests.loop import Loop
from tests.waiting import eventually

READERS = 3
REQUESTS = 45

READER = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from analytics.query import rows
    from streams.deployment import Deployment

    var, tenant, done = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    counted = []
    while True:
        last = done.exists()
        seen = rows(Deployment(var=var), "select count(*), count(distinct request_id) from outcomes where tenant = ?", [tenant])
        rows(Deployment(var=var), "select * from strategy_performance")
        counted.append(seen.rows[0])
        if len(counted) == 1:
            print("reading", flush=True)
        if last:
            break
    print(json.dumps(counted))
""")


@contextmanager
def reader(loop: Loop, tenant: str, done: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", READER, str(loop.deployment.var), tenant, str(done)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_readers_see_whole_states_that_only_grow_while_requests_are_answered(loop: Loop, tmp_path: Path) -> None:
    tenant, done = "read-while-written", tmp_path / "done"
    stored = "select count(*) as n from outcomes where tenant = 'read-while-written' and answered"
    with ExitStack() as stack:
        readers = [stack.enter_context(reader(loop, tenant, done)) for _ in range(READERS)]
        for each in readers:
            assert each.stdout is not None
            assert each.stdout.readline() == "reading\n"
        answers = [a for _ in range(3) for a in loop.ask(*(loop.request(tenant=tenant) for _ in range(REQUESTS // 3)))]
        assert all(isinstance(answer, ResponseReady) for answer in answers)
        eventually(lambda: loop.penstock_json("sql", stored)["n"] == REQUESTS, 30, describe="all stored")
        done.touch()
        for each in readers:
            output, _ = each.communicate(timeout=30)
            assert each.returncode == 0
            counted = json.loads(output)
            counts = [count for count, _ in counted]
            assert counts == sorted(counts)
            assert counts[-1] == REQUESTS
            assert all(count == distinct for count, distinct in counted)
            assert len(set(counts)) > 1
