"""The broker's two configurations say the same, and the versions are one version."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import yaml

from infra.broker_jvm import _write_settings

_INFRA = Path(__file__).resolve().parents[2] / "infra"
# What a container must say otherwise: where it listens and where its data is.
_OF_THE_PLACE = {
    "controller.quorum.voters",
    "listeners",
    "advertised.listeners",
    "log.dirs",
    "heap.opts",
}


def _service():
    return yaml.safe_load((_INFRA / "compose.yaml").read_text())["services"]["kafka"]


def test_compose_and_server_properties_have_the_same_settings():
    lines = (_INFRA / "kafka" / "server.properties").read_text().splitlines()
    on_java = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    in_container = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in _service()["environment"].items()
    }
    assert {k: v for k, v in on_java.items() if k not in _OF_THE_PLACE} == {
        k: v for k, v in in_container.items() if k not in _OF_THE_PLACE
    }


def test_the_image_and_the_jars_are_of_one_version():
    namespace = "{http://maven.apache.org/POM/4.0.0}"
    pom = ET.parse(_INFRA / "kafka" / "pom.xml")  # noqa: S314  our own file
    version = pom.findtext(f"{namespace}properties/{namespace}kafka.version")
    assert _service()["image"] == f"apache/kafka:{version}"


def test_every_placeholder_of_the_template_is_filled_in(tmp_path):
    text = _write_settings(tmp_path, 1234, 5678).read_text()
    assert not re.search(r"@\w+@", text)
    assert "CLIENT://localhost:1234" in text
    assert f"log.dirs={tmp_path}/data" in text
