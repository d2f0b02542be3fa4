"""However TDS is started, the same programs run with the same options; containers have no more rights than needed."""

import base64
import os
import re
import shlex
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tds_core.alerts.alertmanager import MOST_ALERTS
from tds_core.alerts.external_alerts import LONGEST_SILENCE
from tds_core.config.settings import load_settings
from tds_local.programs import programs_of
from tests.house.code import ROOT
from tests.support.compose_file import PROGRAMS, compose, interpolated
from tests.support.tools import tool


def of_tds_up() -> dict[str, list[str]]:
    found = {each.name.partition("-")[0]: list(each.argv) for each in programs_of(load_settings({}))}
    return {name: ["python", *argv[1:]] for name, argv in found.items()}


def of_procfile(**environ: str) -> dict[str, list[str]]:
    lines = [line.split(":", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line.strip()]
    given = {"TDS_FLOWER_PASSWORD": "x", **environ}
    return {name: shlex.split(interpolated(command, given).rpartition("exec ")[2]) for name, command in lines}


def of_compose() -> dict[str, list[str]]:
    return {name: [interpolated(word, {}) for word in compose()["services"][name]["command"]] for name in PROGRAMS}


def of_systemd() -> dict[str, list[str]]:
    common = (ROOT / "deploy/systemd/tds-.service.d/10-common.conf").read_text()
    defaults = dict(re.findall(r"^Environment=(\w+)=(.*)$", common, re.MULTILINE))
    found = {}
    for name in PROGRAMS:
        unit = (ROOT / f"deploy/systemd/tds-{name}{'@' if name == 'worker' else ''}.service").read_text()
        [command] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        if command.startswith("/bin/sh -c "):
            command = shlex.split(command)[2].rpartition("exec ")[2]
        words = shlex.split(interpolated(command.replace("$$", "$").replace("%%h", "%h"), defaults))
        found[name] = ["python" if word == "/opt/tds/bin/python" else word for word in words]
    return found


def of_kubernetes() -> dict[str, list[str]]:
    found = {}
    for name in PROGRAMS[:-1]:
        first, *_ = yaml.safe_load_all((ROOT / f"deploy/kubernetes/base/{name}.yaml").read_text())
        found[name] = list(first["spec"]["template"]["spec"]["containers"][0]["command"])
    return found


def essence(argv: list[str]) -> list[str]:
    """A command without what differs from place to place: addresses, numbers of processes, names and paths."""
    words = [re.sub(r"^(--address|--port)=.*", r"\1", word) for word in argv]
    varying = {"--host", "--port", "--processes", "-n", "-s"}
    return [
        word for place, word in enumerate(words) if word not in varying and not (place and words[place - 1] in varying)
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_set_up_runs_what_tds_up_runs(name: str) -> None:
    assert essence(of_procfile()["web" if name == "api" else name]) == essence(of_tds_up()[name])
    assert essence(of_compose()[name]) == essence(of_tds_up()[name])
    assert essence(of_systemd()[name]) == essence(of_tds_up()[name])
    if name != "flower":  # of which Kubernetes runs none
        assert essence(of_kubernetes()[name]) == essence(of_tds_up()[name])


def test_nothing_else_runs() -> None:
    assert tuple(of_tds_up()) == PROGRAMS
    assert tuple(of_procfile()) == ("release", "web", *PROGRAMS[1:])


def test_hosts_that_read_a_procfile_migrate_first_and_name_the_port() -> None:
    assert of_procfile()["release"] == ["python", "-m", "tds_api.cli", "migrate"]

    def port(**environ: str) -> str:
        words = of_procfile(**environ)["web"]
        return words[words.index("--port") + 1]

    assert (port(), port(PORT="5000"), port(PORT="5000", TDS_PORT="9000")) == ("8800", "5000", "9000")


def test_flower_is_checked_with_its_login() -> None:
    with_login = HTTPServer(("127.0.0.1", 0), AsksForLogin)
    thread = threading.Thread(target=with_login.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    _, _, _, code = compose()["services"]["flower"]["healthcheck"]["test"]
    command = [sys.executable, "-c", code.replace(":8801", f":{with_login.server_port}")]
    ends = [
        subprocess.run(command, env={**os.environ, "FLOWER_BASIC_AUTH": login}, check=False, capture_output=True)
        for login in ("tds:right", "tds:wrong")
    ]
    with_login.shutdown()
    with_login.server_close()
    assert [each.returncode for each in ends] == [0, 1]


class AsksForLogin(BaseHTTPRequestHandler):
    """Answers as Flower does."""

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Basic " + base64.b64encode(b"tds:right").decode()
        self.send_response(200 if known and self.path == "/healthcheck" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the server's name for it)
        """Say nothing."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_wait_for_the_schema(name: str) -> None:
    wanted = compose()["services"][name]["depends_on"]
    assert wanted["migrate"] == {"condition": "service_completed_successfully"}


def test_ports_are_published_on_this_machine_only() -> None:
    services = compose()["services"]
    published = [port for name, each in services.items() for port in each.get("ports", []) if name != "proxy"]
    assert services["proxy"]["ports"] == ["80:8080", "443:8443"]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_program_counts_where_somebody_answers_for_it() -> None:
    for line in (ROOT / "Procfile").read_text().splitlines()[1:]:
        assert "export PROMETHEUS_MULTIPROC_DIR=${TDS_HOME:-.tds}/metrics &&" in line
    environment = compose()["services"]["worker"]["environment"]
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    asked = {name: found["port"] for job in jobs for found in job["dns_sd_configs"] for name in found["names"]}
    own = int(environment["TDS_METRICS_PORT"])
    assert asked == {"api": 8800, "worker": own, "dispatcher": own}
    # In its own memory: process ids of containers are not each other's.
    assert environment["PROMETHEUS_MULTIPROC_DIR"].startswith("/tmp/")  # noqa: S108
    assert "/tmp" in compose()["services"]["worker"]["tmpfs"]  # noqa: S108


def alertmanager_config() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text()))


def test_alertmanager_runs_where_it_is_wanted_and_prometheus_finds_it() -> None:
    service = compose()["services"]["alertmanager"]
    assert service["profiles"] == ["seeing", "alertmanager"]
    assert "./deploy/alertmanager:/etc/alertmanager:ro" in service["volumes"]
    [found] = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["alerting"]["alertmanagers"]
    assert [(each["names"], each["port"]) for each in found["dns_sd_configs"]] == [(["alertmanager"], 9093)]
    assert "127.0.0.1:9093" in service["healthcheck"]["test"][-1]


def test_alertmanager_sends_everything_to_a_route_of_tds_before_tds_forgets_it() -> None:
    config = alertmanager_config()
    assert "routes" not in config["route"]
    [receiver] = [each for each in config["receivers"] if each["name"] == config["route"]["receiver"]]
    [webhook] = receiver["webhook_configs"]
    address = urlsplit(webhook["url"])
    assert (address.hostname, address.port) == ("api", 8800)
    routes = (ROOT / "tds_api/resources/alerts.py").read_text()
    prefix, path = re.findall(r'url_prefix="([^"]+)"', routes)[0], address.path.rpartition("/")[2]
    assert address.path == f"{prefix}/{path}"
    assert f'@routes.post("/{path}")' in routes
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] <= MOST_ALERTS
    hours = re.fullmatch(r"(\d+)h", config["route"]["repeat_interval"])
    assert hours is not None
    assert timedelta(hours=int(hours[1])) * 2 < LONGEST_SILENCE


def start_alertmanager(tmp_path: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Run the container's entrypoint with a program in Alertmanager's place, which shows what it was given."""
    shell, option, script, *options = compose()["services"]["alertmanager"]["entrypoint"]
    program = tmp_path / "alertmanager"
    program.write_text(
        '#!/bin/sh\necho "$@"; cat "$KEY"; stat -c %a "$KEY"; echo "key ${TDS_ALERTMANAGER_KEY:-gone}"\n'
    )
    program.chmod(0o755)
    key_file = alertmanager_config()["receivers"][0]["webhook_configs"][0]["http_config"]["authorization"][
        "credentials_file"
    ]
    here = script.replace("$$", "$").replace("/bin/alertmanager", str(program))
    assert f"> {key_file} " in here
    environ = {**os.environ, "KEY": str(tmp_path / "key"), "TDS_ALERTMANAGER_KEY": key}
    return subprocess.run(
        [shell, option, here.replace(key_file, str(tmp_path / "key")), *options],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_alertmanager_gets_its_key_as_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    done = start_alertmanager(tmp_path, "tds_1f2e3d4c_secret")
    options, rest, state = done.stdout.splitlines()
    assert options.split() == ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager",
                               "--cluster.listen-address="]  # fmt: skip
    assert (rest, state) == ("tds_1f2e3d4c_secret600", "key gone")
    without = start_alertmanager(tmp_path, "")
    assert (without.returncode, "TDS_ALERTMANAGER_KEY" in without.stderr) == (1, True)


def test_alertmanager_takes_its_file() -> None:
    amtool = tool("amtool", "Debian: prometheus-alertmanager")
    checked = subprocess.run(
        [amtool, "check-config", "deploy/alertmanager/alertmanager.yml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_image_installs_by_hash() -> None:
    assert "--require-hashes" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_the_image_is_built_from_what_is_there_and_nothing_private() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert [name for name in allowed if not (ROOT / name).exists()] == []
    assert not {".env", ".tds", ".git"} & set(allowed)
