"""The import contracts of pyproject.toml hold, and each rejects the bad case that it is there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
# A small project with the modules that the contracts speak of.
_MODULES = (
    "schemas/event.py",
    *(
        f"streams/{name}.py"
        for name in (
            "admin",
            "app",
            "client",
            "compacted",
            "delivery",
            "deployment",
            "errors",
            "identity",
            "logs",
            "outbox",
            "stage",
            "supervisor",
            "worker",
        )
    ),
    "streams/cli/main.py",
    "agents/router.py",
    "agents/generator.py",
    "agents/evaluator.py",
    "agents/deciding/policy.py",
    "agents/judging/reward.py",
    "agents/answering/provider.py",
    "agents/encoding/static.py",
    "agents/model_server/server.py",
    "analytics/learning.py",
    "infra/broker.py",
)


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    lint_imports = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [lint_imports, "--no-cache"],
        cwd=root,
        env={"PYTHONPATH": str(root), "COLUMNS": "200", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    text = (_ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text[text.index("[tool.importlinter]") :])
    for name in _MODULES:
        module = tmp_path / name
        module.parent.mkdir(parents=True, exist_ok=True)
        (module.parent / "__init__.py").touch()
        (tmp_path / Path(name).parts[0] / "__init__.py").touch()
        module.touch()
    return tmp_path


def test_a_project_without_forbidden_imports_is_accepted(project):
    allowed = ("math", "schemas.event", "streams.errors", "streams.identity")
    (project / "agents/deciding/policy.py").write_text("".join(f"import {name}\n" for name in allowed))
    (project / "streams/delivery.py").write_text("import aiokafka\nimport schemas.event\n")
    (project / "streams/worker.py").write_text("import agents.router\nimport analytics.learning\n")
    (project / "streams/cli/main.py").write_text("import streams.supervisor\nimport infra.broker\n")
    (project / "analytics/learning.py").write_text("import duckdb\nimport agents.deciding.policy\n")
    done = _lint(project)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "imports", "why"),
    [
        ("schemas/event.py", "streams.delivery", "schemas know nothing of ours"),
        ("infra/broker.py", "schemas.event", "infra knows nothing of ours"),
        ("streams/delivery.py", "agents.router", "streams stand on schemas"),
        ("streams/delivery.py", "infra.broker", "streams stand on schemas"),
        ("streams/delivery.py", "streams.cli.main", "nothing stands on the top"),
        ("streams/delivery.py", "streams.worker", "nothing stands on the top"),
        ("agents/deciding/policy.py", "faust", "pure: no stream"),
        ("agents/deciding/policy.py", "time", "pure: no clock"),
        ("agents/deciding/policy.py", "random", "pure: no chance"),
        ("agents/deciding/policy.py", "agents.router", "pure: no shell"),
        ("agents/judging/reward.py", "asyncio", "pure: no event loop"),
        ("agents/judging/reward.py", "duckdb", "pure: no database"),
        ("agents/router.py", "analytics.learning", "profiles reach agents through the stream"),
        ("analytics/learning.py", "agents.generator", "analytics import no shell"),
        ("analytics/learning.py", "agents.answering.provider", "analytics import the catalogue only"),
    ],
)
def test_a_forbidden_import_breaks_a_contract(project, module, imports, why):
    (project / module).write_text(f"import {imports}\n")
    done = _lint(project)
    assert done.returncode == 1, why
    assert "1 broken" in done.stdout, done.stdout + done.stderr


def test_a_pure_module_may_not_reach_a_clock_through_another(project):
    (project / "schemas/event.py").write_text("import time\n")
    (project / "agents/judging/reward.py").write_text("import schemas.event\n")
    assert _lint(project).returncode == 1
