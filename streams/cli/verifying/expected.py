"""What the deployment's files say of a log: deadlines, explorations, how long is waited.

In: settings, catalogue, workflows, and the overrides in force. Out: ``Expected``. Keeps nothing. Fails with ``InvalidFile``.

A plan names its configuration by a hash. It is known here for every workflow as the files are now, with and without the overrides
in force; a plan that was made under another configuration is not held against an exploration that it may never have had.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.deciding.governance import Overrides
    from streams.deployment import Deployment


@dataclass(frozen=True)
class Expected:
    """Spans in milliseconds."""

    explorations: Mapping[str, float]
    """The share that is explored, by configuration hash."""
    deadlines_ms: Mapping[str, int]
    """How long a request of a workflow is wanted, where it does not say."""
    deadline_ms: int
    """The same for a workflow that there is not."""
    finished_window_ms: float
    feedback_window_ms: float
    orphan_wait_ms: float


def expected_of(deployment: "Deployment", environ: Mapping[str, str], overrides: "Overrides") -> Expected:
    """Read the files and say what they mean."""
    from agents.deciding.governance import Overrides, StatedSettings
    from agents.deciding.in_force import config_hash
    from agents.loading.reading import load_catalogue, load_settings, load_workflows

    governance = load_settings(deployment.settings)
    catalogue = load_catalogue(deployment.catalogue, environ)
    workflows = load_workflows(deployment.workflows, catalogue, tuple(governance.sources))
    explorations, deadlines = {}, {}
    for name, workflow in workflows.items():
        for switches in (Overrides(), overrides):
            effective = governance.effective(deployment.environment, workflow.settings, switches)
            settings = effective.settings
            learning = settings.learning_enabled and settings.auto_optimization
            explorations[config_hash(workflow, catalogue, effective)] = settings.exploration if learning else 0.0
            deadlines[name] = settings.deadline_ms
    common = governance.effective(deployment.environment, StatedSettings(), Overrides()).settings
    waits = governance.operations
    return Expected(
        explorations=explorations,
        deadlines_ms=deadlines,
        deadline_ms=common.deadline_ms,
        finished_window_ms=waits.finished_window_s * 1_000,
        feedback_window_ms=waits.feedback_window_s * 1_000,
        orphan_wait_ms=waits.orphan_wait_s * 1_000,
    )
