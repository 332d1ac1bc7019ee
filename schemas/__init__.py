"""What flows: one frozen record and one ``.avsc`` for each event, with examples and compatibility rules.

Imports nothing of ours. ``EVENTS`` is the index: every event type that may appear on a topic, by name.

A record is a fact in the past tense. Its ``.avsc`` is generated from it (``python -m schemas.generate``), so the two cannot
disagree; what was released is kept in ``released/`` and a change must stay readable in both directions
(``python -m schemas.compatibility``).
"""

from schemas.chunk_generated import ChunkGenerated
from schemas.dead_lettered import DeadLettered
from schemas.experiment_ordered import Experiment, ExperimentOrdered
from schemas.experiment_stepped import ExperimentEvidence, ExperimentStepped
from schemas.feedback_given import FeedbackGiven
from schemas.generation_completed import GenerationCompleted, UsedPassage
from schemas.generation_failed import GenerationFailed
from schemas.learning_resumed import LearningResumed
from schemas.override_set import OverrideSet
from schemas.profile_updated import (
    Belief,
    Evidence,
    GraphSwitch,
    Incumbent,
    LearnedHeads,
    Optimization,
    ProfileUpdated,
    Reopened,
    Traded,
)
from schemas.quality_fell import Advice, FallPart, QualityFell
from schemas.record import Record
from schemas.request_received import GivenDocument, RequestReceived, Turn
from schemas.request_routed import Candidate, Exclusion, Plan, RequestRouted, Step
from schemas.response_failed import ResponseFailed
from schemas.response_ready import ResponseReady
from schemas.resume_ordered import ResumeOrdered
from schemas.reward_computed import RewardComputed, RewardPart
from schemas.rollback_ordered import RollbackOrdered
from schemas.schema_published import SchemaPublished
from schemas.stage_measured import Measure, StageMeasured
from schemas.stage_paused import StagePaused
from schemas.stage_restarted import StageRestarted
from schemas.stage_resumed import StageResumed

EVENTS: dict[str, type[Record]] = {
    event.__name__: event
    for event in (
        RequestReceived,
        RequestRouted,
        GenerationCompleted,
        GenerationFailed,
        ResponseReady,
        ResponseFailed,
        ChunkGenerated,
        FeedbackGiven,
        RewardComputed,
        StageMeasured,
        StagePaused,
        StageResumed,
        StageRestarted,
        QualityFell,
        ProfileUpdated,
        OverrideSet,
        RollbackOrdered,
        LearningResumed,
        ExperimentOrdered,
        ExperimentStepped,
        ResumeOrdered,
        SchemaPublished,
        DeadLettered,
    )
}
"""Every event type by its name, in the order in which a request meets them."""

__all__ = [
    "EVENTS",
    "Advice",
    "Belief",
    "Candidate",
    "ChunkGenerated",
    "DeadLettered",
    "Evidence",
    "Exclusion",
    "Experiment",
    "ExperimentEvidence",
    "ExperimentOrdered",
    "ExperimentStepped",
    "FallPart",
    "FeedbackGiven",
    "GenerationCompleted",
    "GenerationFailed",
    "GivenDocument",
    "GraphSwitch",
    "Incumbent",
    "LearnedHeads",
    "LearningResumed",
    "Measure",
    "Optimization",
    "OverrideSet",
    "Plan",
    "ProfileUpdated",
    "QualityFell",
    "Record",
    "Reopened",
    "RequestReceived",
    "RequestRouted",
    "ResponseFailed",
    "ResponseReady",
    "ResumeOrdered",
    "RewardComputed",
    "RewardPart",
    "RollbackOrdered",
    "SchemaPublished",
    "StageMeasured",
    "StagePaused",
    "StageRestarted",
    "StageResumed",
    "Step",
    "Traded",
    "Turn",
    "UsedPassage",
]
