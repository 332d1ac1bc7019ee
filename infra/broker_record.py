"""The run file: which broker runs under a name, where, and on whose behalf.

In and out: `var/run/<name>.json`, one JSON object, replaced whole. A file that cannot be read as such is
stale, because only a killed writer or a hand makes one. Milliseconds are since 1970.

`settle` decides what a file found at a start means. The owner is the process that called
`provide_broker`; it is alive if its pid lives and started when the file says.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from infra import processes
from infra.errors import BrokerInUse

Kind = Literal["given", "container", "jvm"]

_GRACE_S = 15.0


@dataclass(frozen=True, slots=True)
class BrokerRecord:
    """What a run file says.

    `pid` is the broker's, None in a container. `home` is the folder that holds its data, which is
    also in the command line of a broker of ours.
    """

    kind: Kind
    bootstrap_servers: str
    port: int
    pid: int | None
    home: str
    ephemeral: bool
    owner_pid: int
    owner_identity: str
    started_at_ms: int

    def owner_lives(self) -> bool:
        """Whether the process that started this broker is still there."""
        return processes.identity(self.owner_pid) == self.owner_identity

    def broker_lives(self) -> bool:
        """Whether its pid belongs to a living broker of ours, and not to whoever got it since."""
        if self.pid is None:
            return False
        return self.home in (processes.command_line(self.pid) or "")


def record_path(var: Path, name: str) -> Path:
    """Where the run file of this name is."""
    return var / "run" / f"{name}.json"


def write_record(path: Path, record: BrokerRecord) -> None:
    """Replace the run file; a reader sees the old or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.partial")
    draft.write_text(json.dumps(asdict(record), indent=1) + "\n")
    draft.replace(path)


def read_record(path: Path) -> BrokerRecord | None:
    """The run file's record; None where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text())
        return BrokerRecord(**found)
    except (OSError, ValueError, TypeError):
        return None


def settle(path: Path, name: str, home: Path, *, reuse: bool) -> BrokerRecord | None:
    """Deal with what an earlier run left. The record to adopt (with `reuse`), or None: start anew.

    - the broker and its owner live: adopted with `reuse`, else BrokerInUse;
    - the broker lives and its owner does not: it is stopped (its tether is doing so in any case);
    - the broker is dead, or its pid belongs to a stranger: the file goes, the stranger is left alone;
    - there is no file, but a process has our folder in its command line: it is stopped.
    """
    record = read_record(path)
    if record is not None and record.broker_lives() and record.owner_lives():
        if reuse:
            return record
        raise BrokerInUse(name, owner_pid=record.owner_pid, bootstrap_servers=record.bootstrap_servers)
    stop_strays(home)
    path.unlink(missing_ok=True)
    return None


def stop_strays(home: Path) -> int:
    """Stop every broker that runs on this folder; how many there were. Their data stays."""
    stopped = 0
    for pid in list(processes.processes_with(str(home / "server.properties"))):
        # The tether has the same words in its command line; it ends by itself with its command.
        with contextlib.suppress(PermissionError):
            processes.stop_process(pid, grace_s=_GRACE_S)
            stopped += 1
    return stopped
