"""What TDS relies on in libraries beside their public names: it is there, it is called, and a cap keeps it as tested.

One test for each name. Who raises a cap in requirements/runtime.in reads the test that fails, and what uses the name.
"""

import inspect
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import flask_smorest
import pytest
from celery import Celery
from celery.beat import PersistentScheduler
from celery.worker import loops
from celery.worker.consumer import Consumer
from celery.worker.consumer.consumer import CONNECTION_RETRY
from celery.worker.consumer.events import Events
from environs import Env
from flask import Flask, Request
from flower.views.monitor import Healthcheck, Metrics
from packaging.requirements import Requirement
from packaging.version import Version
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from webargs import fields
from webargs.flaskparser import FlaskParser
from werkzeug.test import EnvironBuilder

from tests.house.code import ROOT

#: The libraries, and what of TDS uses the names.
CAPPED: Mapping[str, str] = {
    "celery": "tds_tasks/app.py, tds_tasks/worker/celery_consumer.py",
    "kombu": "tds_tasks/app.py",
    "environs": "tds_core/config/sources.py",
    "flask-smorest": "tds_api/openapi.py",
    "prometheus-client": "tds_core/observability/multiprocess_collector.py",
    "webargs": "tds_api/openapi.py",
}


@pytest.mark.parametrize("name", CAPPED)
def test_the_next_version_that_could_change_them_is_not_installed(name: str) -> None:
    lines = (ROOT / "requirements/runtime.in").read_text().splitlines()
    declared = {each.name: each for each in map(Requirement, filter(lambda line: line and line[0] not in "#-", lines))}
    here = Version(version(name))
    # environs and others count whole numbers where they change something.
    following = [f"{here.major}.{here.minor + 1}", f"{here.major + 1}"]
    assert declared[name].specifier.contains(here)
    assert not declared[name].specifier.contains(following[name == "environs"])
    assert all((ROOT / path).exists() for path in CAPPED[name].split(", "))


def test_celery_asks_its_scheduler_to_connect_before_it_sends() -> None:
    class Scheduler(PersistentScheduler):
        def _ensure_connected(self) -> Any:
            return "connected"

    scheduler = Scheduler.__new__(Scheduler)
    scheduler.Producer = lambda connection, **_: ("producer", connection)  # type: ignore[assignment]
    assert scheduler.producer[:2] == ("producer", "connected")
    assert list(inspect.signature(PersistentScheduler._ensure_connected).parameters) == ["self"]


def test_celery_calls_the_consumer_at_its_start_and_after_a_lost_connection() -> None:
    source = inspect.getsource(Consumer)
    assert "self.on_connection_error_after_connected(exc)" in source
    assert "obj.on_ready()" in inspect.getsource(loops)
    assert isinstance(CONNECTION_RETRY, str)
    assert "CONNECTION_RETRY" in source


def test_celery_tells_the_consumer_of_an_event_and_lets_it_send_them() -> None:
    assert "on_send_buffered=c.on_send_event_buffered" in inspect.getsource(Events.start)
    assert "self.event_dispatcher.flush()" in inspect.getsource(Consumer._flush_events)


def test_celery_takes_consumer_and_scheduler_by_name() -> None:
    app = Celery("here")
    app.config_from_object("tds_tasks.celeryconfig")
    assert app.conf.worker_consumer == "tds_tasks.worker.celery_consumer:ReconnectingConsumer"
    assert app.conf.beat_scheduler == "tds_tasks.app:ReconnectingScheduler"


def test_environs_asks_one_method_for_every_value() -> None:
    class Ours(Env):
        def _get_value(self, env_key: str, default: Any) -> Any:
            return {"A_NUMBER": "7"}.get(env_key, default)

    env = Ours()
    assert (env.int("A_NUMBER"), env.int("ANOTHER", 5)) == (7, 5)


def test_flask_smorest_describes_its_errors_by_one_method() -> None:
    class Ours(flask_smorest.Api):
        def _register_responses(self) -> None:
            self.spec.components.response("OURS", {"description": self.DEFAULT_ERROR_RESPONSE_NAME})

    app = Flask("here")
    app.config.update(API_TITLE="T", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    responses = Ours(app).spec.to_dict()["components"]["responses"]
    assert responses == {"OURS": {"description": "DEFAULT_ERROR"}}


def test_webargs_reads_a_body_by_one_method() -> None:
    class Ours(FlaskParser):
        def _raw_load_json(self, req: Request) -> Any:
            return {"number": 7}

    request = Request(EnvironBuilder(method="POST", json={"number": 1}).get_environ())
    assert Ours().parse({"number": fields.Integer()}, request) == {"number": 7}


def test_prometheus_merges_a_directory_without_a_registry(tmp_path: Path) -> None:
    key = mmap_key("tds_here_total", "tds_here_total", [], [], "Help.")
    for process, value in ((1, 2.0), (2, 3.0)):
        cast(Any, MmapedDict)(str(tmp_path / f"counter_{process}.db")).write_value(key, value, 0.0)
    merged = cast(Any, MultiProcessCollector)(None, str(tmp_path)).collect()
    [sample] = [sample for family in merged for sample in family.samples]
    assert (sample.name, sample.value) == ("tds_here_total", 5.0)


@pytest.mark.parametrize("view", [Metrics, Healthcheck])
def test_flower_answers_by_one_method_that_knows_who_asks(view: Any) -> None:
    assert inspect.iscoroutinefunction(view.get)
    assert isinstance(inspect.getattr_static(view, "current_user"), property)
