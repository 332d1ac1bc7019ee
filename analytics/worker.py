"""Puts the analytics process together: storage, reader, learner, consumer.

In: the deployment. Out: an ``AnalyticsConsumer`` ready to run. Keeps nothing. Fails with ``InvalidFile`` for a mistake in a
file, and with what the storage says where its folder is in use or was written by a newer version.
"""

from collections.abc import Mapping

from agents.loading.reading import load_catalogue, load_settings, load_workflows
from analytics.consumer import AnalyticsConsumer
from analytics.learner import ProfileLearner
from analytics.reader import Reader
from analytics.storage import Storage
from streams.codec import Codec
from streams.delivery import Clock, wall_clock_us
from streams.deployment import Deployment


def build_analytics(
    deployment: Deployment, environ: Mapping[str, str], *, clock: Clock = wall_clock_us
) -> AnalyticsConsumer:
    """Build the consumer with the learner of the deployment's workflows."""
    governance = load_settings(deployment.settings)
    catalogue = load_catalogue(deployment.catalogue, environ)
    workflows = load_workflows(deployment.workflows, catalogue, tuple(governance.sources))
    codec = Codec()
    learner = ProfileLearner(
        catalogue=catalogue,
        governance=governance,
        environment=deployment.environment,
        workflows=workflows,
        codec=codec,
    )
    reader = Reader(deployment)
    storage = Storage(deployment.analytics_folder, reader.cluster())
    return AnalyticsConsumer(deployment, storage, learner, codec, clock, reader)
