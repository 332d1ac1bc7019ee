"""Puts the analytics process of a deployment together: the learner of its workflows, and the consumer.

In: the deployment. Out: an ``AnalyticsConsumer`` ready to run. Keeps nothing. Fails with ``InvalidFile`` for a mistake in a
file, and with what the storage says where its folder is in use or was written by a newer version.
"""

from collections.abc import Mapping

from agents.loading.reading import load_catalogue, load_settings, load_workflows
from analytics.consumer import AnalyticsConsumer, open_consumer
from analytics.learner import ProfileLearner
from streams.codec import Codec
from streams.delivery import Clock, wall_clock_us
from streams.deployment import Deployment
from streams.following import KafkaLog
from streams.lookup import SchemaLookUp


def build_analytics(
    deployment: Deployment, environ: Mapping[str, str], *, clock: Clock = wall_clock_us
) -> AnalyticsConsumer:
    """Build the consumer with the learner of the deployment's workflows."""
    governance = load_settings(deployment.settings)
    catalogue = load_catalogue(deployment.catalogue, environ)
    workflows = load_workflows(deployment.workflows, catalogue, tuple(governance.sources))
    codec = Codec()
    schemas = SchemaLookUp(codec, lambda: KafkaLog(deployment))
    codec.look_up = schemas
    learner = ProfileLearner(
        catalogue=catalogue,
        governance=governance,
        environment=deployment.environment,
        workflows=workflows,
        codec=codec,
    )
    return open_consumer(deployment, learner, codec, clock, schemas, governance.operations.dead_letters.limit)
