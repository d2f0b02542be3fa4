"""The page that connects, in a real browser and by keys alone: wide, as narrow as a phone, in light and in dark."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine
from werkzeug.serving import make_server

from tds_core.auth import operators
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.chromium import IS_MISSING, Chromium, chromium
from tests.support.standin import StandIn
from tests.support.webhook_sender import TOKEN, sender_for

START = "/api/tds/zoho/oauth/start"
PASSWORD = "correct horse battery"

pytestmark = pytest.mark.skipif(IS_MISSING, reason="there is no chromium here")


@pytest.fixture
def address(database: str, engine: Engine, standin: StandIn) -> Iterator[str]:
    """Where a TDS that is not connected yet answers."""
    params = {**standin.settings, "ZOHO_REFRESH_TOKEN": "", "TDS_SECRET_KEY": Fernet.generate_key().decode()}
    with sender_for(database, engine, **params) as sender:
        server = make_server("127.0.0.1", 0, sender.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pictured(browser: Chromium, name: str) -> None:
    """Keep a picture for people where TEST_PICTURES says; nothing may stick out of the window."""
    for width, scheme in ((1280, "light"), (390, "light"), (390, "dark")):
        browser.size(width, 900, scheme=scheme)
        assert browser.ask("document.documentElement.scrollWidth <= innerWidth"), (name, width)
        if where := os.environ.get("TEST_PICTURES"):
            browser.picture(Path(where) / f"{name}-{width}-{scheme}.png")


def test_an_operator_logs_in_and_reads_the_description(address: str, engine: Engine) -> None:
    with session_scope(engine) as session:
        operators.create_operator(session, name="ali", role=Role.VIEWER, by="test", password=PASSWORD)
    with chromium() as browser:
        browser.open(f"{address}/api/tds/docs")
        pictured(browser, "log-in")
        browser.wait_for("document.activeElement.name == 'name'")
        browser.type("ali")
        browser.tab_to("document.activeElement.name == 'password'")
        browser.type(PASSWORD)
        browser.press("Enter")
        browser.wait_for("document.querySelectorAll('.opblock').length > 20")
        assert browser.ask("location.href") == f"{address}/api/tds/docs"
        assert [each for each in browser.complaints if "Content Security Policy" in each] == []


def test_an_organisation_is_connected_by_keys_alone(address: str, standin: StandIn) -> None:
    with chromium() as browser:
        browser.open(address + START)
        pictured(browser, "token")
        browser.wait_for("document.activeElement.name == 'token'")
        browser.type(TOKEN)
        browser.press("Enter")
        browser.wait_for("document.body.innerText.includes('not connected')")
        pictured(browser, "absent")
        browser.tab_to("document.activeElement.name == 'data_center'")
        browser.tab_to("document.activeElement.tagName == 'BUTTON'")
        browser.press("Enter")
        browser.wait_for("document.querySelector('[role=status]')?.innerText.startsWith('Connected.')")
        assert browser.ask("location.href") == address + START, "code and state are not left in the address"
        assert standin.sandbox.settings.organization_name in browser.ask("document.body.innerText")
        pictured(browser, "connected")
        policy = [each for each in browser.complaints if "Content Security Policy" in each]
        assert policy == []
