"""Where this process runs: addresses and folders, from ``PENSTOCK_*`` environment variables.

In: the environment. Out: a frozen ``Deployment``. What a workflow or the learner may change is not here (infra/penstock.yaml). The
broker's address is ``PENSTOCK_BOOTSTRAP_SERVERS`` or, where ``penstock up`` runs, what it wrote to ``var/run/broker.json``;
with neither, ``bootstrap()`` raises ``Unconfigured``.
"""

import json
from dataclasses import replace
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.errors import Unconfigured
from streams.limit import Limit

ROOT = Path(__file__).resolve().parents[1]


class Deployment(BaseSettings):
    """The deployment's settings; every field is an environment variable with the prefix ``PENSTOCK_``."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", frozen=True, extra="ignore")

    bootstrap_servers: str | None = None
    topic_prefix: str = ""
    var: Path = ROOT / "var"
    models: Path | None = None
    environment: str = "production"
    settings: Path = ROOT / "infra" / "penstock.yaml"
    catalogue: Path = ROOT / "infra" / "strategies.yaml"
    workflows: Path = ROOT / "examples" / "workflows"
    generator_concurrency: int = Field(default=512, ge=1, le=4096)
    commit_interval_s: float = Field(default=0.25, gt=0)
    session_timeout_s: float = Field(default=10.0, ge=6)
    watch_every_s: float = Field(default=3.0, gt=0, le=60)
    stalled_after_s: float = Field(default=15.0, gt=0)
    dead_letters_most: int | None = Field(default=None, ge=0)
    replication_factor: int = Field(default=1, ge=1)
    compress: bool = False
    log_level: str = "INFO"
    metrics: bool = True
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    worker: str = "0"
    instance: str | None = None

    @property
    def run_folder(self) -> Path:
        """Addresses and states of what runs."""
        return self.var / "run"

    @property
    def models_folder(self) -> Path:
        """Prepared encoders: ``PENSTOCK_MODELS``, or ``models`` in the var folder."""
        return self.models or self.var / "models"

    @property
    def analytics_folder(self) -> Path:
        """Parquet segments and DuckDB files."""
        return self.var / "analytics"

    @property
    def logs_folder(self) -> Path:
        """One log file a process."""
        return self.var / "logs"

    def limit(self, stated: Limit) -> Limit:
        """Give the limit on dead letters: as the settings state it, or with the ``dead_letters_most`` of this deployment."""
        return stated if self.dead_letters_most is None else replace(stated, most=self.dead_letters_most)

    def topic(self, name: str) -> str:
        """Give the topic's name on the broker."""
        return self.topic_prefix + name

    def bootstrap(self) -> str:
        """Give the broker's address, ``host:port[,host:port]``; ``Unconfigured`` where none is known."""
        if self.bootstrap_servers:
            return self.bootstrap_servers
        found = self._from_run_file("broker.json", "bootstrap_servers")
        if found is None:
            raise Unconfigured(
                "No broker is known.",
                remedy="Run `penstock up`, or set PENSTOCK_BOOTSTRAP_SERVERS.",
            )
        return found

    def embedded_models_url(self) -> str:
        """Give the base URL of the embedded model server; ``Unconfigured`` where it does not run."""
        found = self._from_run_file("models.json", "base_url")
        if found is None:
            raise Unconfigured(
                "The embedded model server is not running.",
                remedy="Run `penstock up` or `penstock worker models`, or set OPENAI_API_KEY or OPENAI_BASE_URL.",
            )
        return found

    def _from_run_file(self, name: str, field: str) -> str | None:
        try:
            content = json.loads((self.run_folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        value = content.get(field) if isinstance(content, dict) else None
        return value if isinstance(value, str) else None
