"""The deployment's settings come from PENSTOCK_ variables; the broker's address from there or from what `penstock up` wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.deployment import ROOT, Deployment
from streams.errors import Code, Unconfigured
from streams.limit import Limit


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in Deployment.model_fields:
        monkeypatch.delenv(f"PENSTOCK_{name.upper()}", raising=False)


EVERYTHING = {
    "bootstrap_servers": ("one:9092,two:9092", "one:9092,two:9092"),
    "topic_prefix": ("test-", "test-"),
    "var": ("elsewhere", Path("elsewhere")),
    "environment": ("conservative", "conservative"),
    "settings": ("a.yaml", Path("a.yaml")),
    "catalogue": ("b.yaml", Path("b.yaml")),
    "workflows": ("flows", Path("flows")),
    "models": ("encoders", Path("encoders")),
    "generator_concurrency": ("16", 16),
    "commit_interval_s": ("0.5", 0.5),
    "session_timeout_s": ("30", 30.0),
    "watch_every_s": ("1.5", 1.5),
    "stalled_after_s": ("30", 30.0),
    "dead_letters_most": ("5000", 5_000),
    "replication_factor": ("3", 3),
    "compress": ("true", True),
    "log_level": ("DEBUG", "DEBUG"),
    "metrics": ("false", False),
    "metrics_host": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - nothing listens here
    "metrics_port": ("9464", 9464),
    "worker": ("7", "7"),
    "instance": ("here-7", "here-7"),
}


def test_every_field_is_an_environment_variable(monkeypatch):
    assert set(EVERYTHING) == set(Deployment.model_fields)
    for name, (stated, _) in EVERYTHING.items():
        monkeypatch.setenv(f"PENSTOCK_{name.upper()}", stated)
    deployment = Deployment()
    assert {name: getattr(deployment, name) for name in EVERYTHING} == {
        n: value for n, (_, value) in EVERYTHING.items()
    }


def test_without_any_variable_everything_is_in_the_projects_own_folders():
    deployment = Deployment()
    assert deployment.var == ROOT / "var"
    assert deployment.settings.is_file()
    assert deployment.catalogue.is_file()
    assert deployment.workflows.is_dir()
    assert deployment.topic("requests") == "requests"
    assert deployment.environment == "production"


def test_the_folders_follow_var(tmp_path):
    deployment = Deployment(var=tmp_path)
    folders = (deployment.run_folder, deployment.models_folder, deployment.analytics_folder, deployment.logs_folder)
    assert [folder.relative_to(tmp_path).as_posix() for folder in folders] == ["run", "models", "analytics", "logs"]


def test_the_prepared_encoders_may_be_elsewhere(tmp_path):
    assert Deployment(var=tmp_path, models=tmp_path / "shared").models_folder == tmp_path / "shared"


def test_a_prefix_stands_before_every_topic():
    assert Deployment(topic_prefix="test-").topic("requests") == "test-requests"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GENERATOR_CONCURRENCY", "0"),
        ("GENERATOR_CONCURRENCY", "4097"),
        ("GENERATOR_CONCURRENCY", "many"),
        ("COMMIT_INTERVAL_S", "0"),
        ("SESSION_TIMEOUT_S", "5.9"),
        ("WATCH_EVERY_S", "0"),
        ("STALLED_AFTER_S", "0"),
        ("DEAD_LETTERS_MOST", "-1"),
        ("REPLICATION_FACTOR", "0"),
        ("COMPRESS", "perhaps"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name(monkeypatch, variable, value):
    monkeypatch.setenv(f"PENSTOCK_{variable}", value)
    with pytest.raises(ValidationError, match=variable.lower()):
        Deployment()


def test_other_variables_are_none_of_its_business(monkeypatch):
    monkeypatch.setenv("PENSTOCK_PROVIDER", "embedded")
    monkeypatch.setenv("VAR", "elsewhere")
    assert Deployment().var == ROOT / "var"


def test_a_deployment_cannot_be_changed():
    with pytest.raises(ValidationError):
        Deployment().topic_prefix = "late-"


def write(var: Path, name: str, content: str) -> None:
    (var / "run").mkdir(exist_ok=True)
    (var / "run" / name).write_text(content, encoding="utf-8")


def test_the_brokers_address_is_the_stated_one(tmp_path):
    write(tmp_path, "broker.json", json.dumps({"bootstrap_servers": "found:1"}))
    assert Deployment(var=tmp_path, bootstrap_servers="stated:2").bootstrap() == "stated:2"


def test_without_a_stated_address_it_is_the_running_brokers(tmp_path):
    write(tmp_path, "broker.json", json.dumps({"bootstrap_servers": "found:1", "pid": 4}))
    assert Deployment(var=tmp_path).bootstrap() == "found:1"


@pytest.mark.parametrize(
    "content", [None, "", "{", "{}", '{"bootstrap_servers": 7}', "[]", '"found:1"', "null", "\udc80"]
)
def test_without_any_address_the_error_says_what_to_do(tmp_path, content):
    if content is not None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "broker.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(Unconfigured, match="penstock up") as caught:
        Deployment(var=tmp_path).bootstrap()
    assert caught.value.code is Code.UNCONFIGURED


def test_the_embedded_models_are_where_their_server_wrote_that_they_are(tmp_path):
    with pytest.raises(Unconfigured, match="penstock worker models"):
        Deployment(var=tmp_path).embedded_models_url()
    write(tmp_path, "models.json", json.dumps({"base_url": "http://127.0.0.1:8123/v1"}))
    assert Deployment(var=tmp_path).embedded_models_url() == "http://127.0.0.1:8123/v1"


def test_the_limit_on_dead_letters_is_the_settings_unless_the_deployment_raises_it():
    stated = Limit(most=7, share=0.5, window_s=9.0)
    assert Deployment().limit(stated) == stated
    assert Deployment(dead_letters_most=10**6).limit(stated) == Limit(most=10**6, share=0.5, window_s=9.0)
