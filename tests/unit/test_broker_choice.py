"""Which broker is chosen, and what a container engine is told. No engine and no Java is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.broker import provide_broker, stop_left_over
from infra.broker_container import Engine, find_engine, throwaway_broker
from infra.broker_record import read_record, record_path
from infra.errors import BrokerDidNotStart, BrokerUnavailable, RequirementMissing
from infra.processes import Completed

_NOTHING = {"PATH": ""}


class RecordingRunner:
    """Answers by the command's first words, and keeps what it was asked."""

    def __init__(self, **answers: Completed) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []
        self.environments: list[dict[str, str] | None] = []

    def __call__(self, command, timeout_s, environment=None) -> Completed:
        assert timeout_s > 0
        self.asked.append(list(command))
        self.environments.append(environment)
        key = "_".join(command[:2])
        return self.answers.get(key, Completed(127, "", "not found"))

    def compose_verbs(self) -> list[list[str]]:
        return [asked[6:] for asked in self.asked if asked[1] == "compose"]


_DOCKER = Completed(0, json.dumps({"ServerVersion": "27.1"}), "")


def test_an_engine_counts_when_its_server_answers():
    assert find_engine(RecordingRunner(docker_info=_DOCKER)) == Engine("docker", "27.1")


def test_podmans_way_of_telling_its_version_is_understood():
    said = json.dumps({"host": {}, "version": {"Version": "5.2.0"}})
    assert find_engine(RecordingRunner(podman_info=Completed(0, said, ""))) == Engine("podman", "5.2.0")


@pytest.mark.parametrize(
    "answer",
    [
        Completed(0, '{"ServerVersion":"","ServerErrors":["cannot connect"]}', ""),
        Completed(0, "", ""),
        Completed(0, "not [json", ""),
        Completed(1, '{"ServerVersion":"27.1"}', "permission denied"),
        Completed(124, "", "no answer within 3 s"),
    ],
)
def test_a_client_without_a_server_is_no_engine(answer):
    assert find_engine(RecordingRunner(docker_info=answer)) is None


def test_where_an_engine_answers_compose_runs_the_broker_and_stops_it_with_its_data_kept(tmp_path: Path):
    runner = RecordingRunner(docker_info=_DOCKER, docker_compose=Completed(0, "", ""))
    with provide_broker(tmp_path, environ=_NOTHING, run=runner, port=19092) as running:
        assert (running.kind, running.bootstrap_servers) == ("container", "localhost:19092")
        record = read_record(record_path(tmp_path, "broker"))
        assert record is not None
        assert (record.kind, record.port) == ("container", 19092)
    assert runner.compose_verbs() == [["up", "--detach", "--wait"], ["down"]]
    assert runner.environments[-1] == {"PENSTOCK_KAFKA_PORT": "19092"}
    assert read_record(record_path(tmp_path, "broker")) is None


def test_what_compose_says_is_in_the_error_when_it_fails(tmp_path: Path):
    runner = RecordingRunner(docker_info=_DOCKER, docker_compose=Completed(1, "", "no such image"))
    with pytest.raises(BrokerDidNotStart, match="no such image"):
        provide_broker(tmp_path, environ=_NOTHING, run=runner)


def test_a_container_that_a_killed_run_left_is_stopped_by_down(tmp_path: Path):
    runner = RecordingRunner(docker_info=_DOCKER, docker_compose=Completed(0, "", ""))
    provide_broker(tmp_path, environ=_NOTHING, run=runner, port=19092)  # and never stopped
    assert stop_left_over(tmp_path, run=runner)
    assert runner.compose_verbs()[-1] == ["down"]
    assert not stop_left_over(tmp_path, run=runner)


def test_an_address_that_is_given_comes_before_all_and_nothing_is_started_when_it_is_dead(tmp_path: Path):
    runner = RecordingRunner(docker_info=_DOCKER)
    with pytest.raises(BrokerUnavailable) as refusal:
        provide_broker(
            tmp_path,
            environ={"PENSTOCK_BOOTSTRAP_SERVERS": "localhost:1"},
            run=runner,
            given_answers_s=0.2,
        )
    assert refusal.value.bootstrap_servers == "localhost:1"
    assert "PENSTOCK_BOOTSTRAP_SERVERS" in refusal.value.remedy
    assert runner.asked == []


def test_without_engine_and_java_the_error_says_what_to_install(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RequirementMissing) as refusal:
        provide_broker(tmp_path, environ=_NOTHING, run=RecordingRunner())
    assert refusal.value.what == "Java"
    assert "Java 17" in refusal.value.remedy


def test_without_the_jars_the_error_says_make_setup(tmp_path: Path):
    java = tmp_path / "java-home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()
    with pytest.raises(RequirementMissing, match="make setup"):
        provide_broker(
            tmp_path,
            environ={"JAVA_HOME": str(tmp_path / "java-home")},
            run=RecordingRunner(),
            libs=tmp_path / "none",
        )


class _RecordingContainer:
    def __init__(self, image: str) -> None:
        self.image = image
        self.variables: dict[str, str] = {}
        self.ports: dict[int, int] = {}

    def with_env(self, name: str, value: str) -> None:
        self.variables[name] = value

    def with_bind_ports(self, container: int, host: int) -> None:
        self.ports[container] = host


def test_the_tests_container_is_the_one_of_compose_on_the_chosen_port():
    made: list[_RecordingContainer] = []

    def make(image: str) -> _RecordingContainer:
        made.append(_RecordingContainer(image))
        return made[0]

    assert throwaway_broker(20001, make_container=make).port == 20001
    assert made[0].image.startswith("apache/kafka:4.")
    assert made[0].ports == {20001: 20001}
    assert made[0].variables["KAFKA_ADVERTISED_LISTENERS"] == "CLIENT://localhost:20001"
    assert not [value for value in made[0].variables.values() if "$" in value]
