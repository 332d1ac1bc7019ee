"""The Faust app of a role: one app, one consumer group, one data folder a worker.

In: the role and the deployment. Out: a ``faust.App`` with the settings that STREAMING's measurements ask for. Keeps nothing;
an app belongs to the event loop it is first used in, so it is built by the worker and never at import.
"""

import asyncio
import shutil
from datetime import timedelta

from faust.types import AppT

from streams.buffering import BATCH
from streams.deployment import Deployment
from streams.rebalancing import App, Tables
from streams.topics import LETTER_BYTES

GATHER_MS = {"evaluator": 20}
"""How long a role gathers what it fetches and publishes: nobody waits for a reward, and several messages cost what one does."""
BATCH_BYTES = 256 * 1024
"""Of one partition in one request to the broker. aiokafka's 16 KiB are two answers: a third waits for the broker's word on them,
and Faust's one line of changes to tables waits with it."""
TABLES = "plain"
"""The kind of databases that the tables are in; another name for another kind, which is then filled from the changelogs."""
HEARTBEAT_S = 0.3
"""A rebalance waits until the last worker has heard of it by its heartbeat."""


def group_of(role: str, deployment: Deployment) -> str:
    """Give the consumer group of a role."""
    return f"{deployment.topic_prefix}penstock-{role}"


def build_app(
    role: str,
    deployment: Deployment,
    *,
    partitions: int,
    loop: asyncio.AbstractEventLoop | None = None,
) -> AppT:
    """Build the app of ``role``. Tables live in RocksDB under ``var/faust/``, a folder for each worker."""
    servers = deployment.bootstrap().split(",")
    worker = deployment.var / "faust" / f"{deployment.topic_prefix}{role}-{deployment.worker}"
    for older in worker.glob("v*"):  # with times in their values; what they held comes again from the changelogs
        shutil.rmtree(older)
    data = worker / TABLES
    data.mkdir(parents=True, exist_ok=True)
    app = App(
        group_of(role, deployment),
        loop=loop,
        broker=";".join(f"kafka://{server.strip()}" for server in servers),
        store="rocksdb://",
        TableManager=Tables,
        datadir=str(data),
        broker_client_id=f"penstock-{role}-{deployment.worker}",
        broker_commit_interval=deployment.commit_interval_s,
        broker_session_timeout=deployment.session_timeout_s,
        broker_heartbeat_interval=HEARTBEAT_S,
        consumer_group_instance_id=deployment.instance,
        broker_request_timeout=max(40.0, deployment.session_timeout_s + 5),
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=LETTER_BYTES,
        broker_max_poll_records=BATCH,
        producer_max_request_size=LETTER_BYTES,
        producer_max_batch_size=BATCH_BYTES,
        producer_compression_type="gzip" if deployment.compress else None,
        producer_acks=-1,
        producer_linger=GATHER_MS.get(role, 0) / 1_000,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        topic_partitions=partitions,
        topic_replication_factor=deployment.replication_factor,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        table_cleanup_interval=timedelta(seconds=30),
    )
    app.gather_ms = GATHER_MS.get(role, 0)
    return app
