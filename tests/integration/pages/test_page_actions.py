"""Forms of pages: refused to those who may not, and without the page's own token; what was typed is not lost."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tds_core.auth.sessions import csrf_token
from tds_models.auth import Role
from tests.conftest import copied_database
from tests.support.dashboard import HOSTILE, Dashboard, crawled, populated_dashboard

#: What everybody may do who is logged in: with their own sessions and password.
OWN = ("/dashboard/do/DELETE/session", "/dashboard/do/PUT/session/password")


@pytest.fixture(scope="module")
def dashboard(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard with something on every page."""
    home = tmp_path_factory.mktemp("home")
    with copied_database(postgres_url, template_database) as database, populated_dashboard(database, home) as served:
        yield served


def test_every_form_is_refused_to_a_viewer_and_without_its_token(dashboard: Dashboard) -> None:
    _, actions = crawled(dashboard, Role.ADMIN)
    assert len(actions) > 10
    token = dashboard.token(Role.VIEWER)
    viewer = dashboard.app.test_client()
    viewer.set_cookie("tds_session", token, domain="localhost")
    admin = dashboard.client(Role.ADMIN)
    allowed = [
        action
        for action in sorted(actions)
        if not action.startswith(OWN) and viewer.post(action, data={"_csrf": csrf_token(token)}).status_code != 403
    ]
    assert allowed == []
    assert [action for action in sorted(actions) if admin.post(action, data={}).status_code != 403] == []


def test_a_viewer_sees_what_is_not_allowed_with_its_reason(dashboard: Dashboard) -> None:
    page = dashboard.get("/dashboard/runs").get_data(as_text=True)
    assert "needs the role operator" in " ".join(page.split())
    assert "/dashboard/do/POST/sync/all" not in page


def test_an_action_goes_through_its_route_and_into_the_trail(dashboard: Dashboard) -> None:
    token = dashboard.token(Role.OPERATOR)
    operator = dashboard.app.test_client()
    operator.set_cookie("tds_session", token, domain="localhost")
    form = {"_csrf": csrf_token(token), "_back": "/dashboard/runs", "_done": "Requested.", "mode": "incremental"}
    answer = operator.post("/dashboard/do/POST/sync/location", data=form)
    assert (answer.status_code, answer.location) == (303, "/dashboard/runs")
    assert "Requested." in operator.get("/dashboard/runs").get_data(as_text=True)
    with dashboard.engine.connect() as connection:
        acted = connection.execute(
            text(
                "select caller, outcome from tds_operator_actions where operation = 'syncs.sync'"
                " and caller = 'operator-of-test' order by id"
            )
        ).all()
    assert [tuple(row) for row in acted] == [
        ("operator-of-test", "begun"),
        ("operator-of-test", "done"),
    ]


def test_a_form_sent_twice_without_scripts_acts_once(dashboard: Dashboard) -> None:
    token = dashboard.token(Role.OPERATOR)
    operator = dashboard.app.test_client()
    operator.set_cookie("tds_session", token, domain="localhost")

    def key() -> str:
        found = re.search(r'name="_key" value="([^"]+)"', operator.get("/dashboard/runs").get_data(as_text=True))
        assert found
        return found[1]

    def run_count() -> int:
        with dashboard.engine.connect() as connection:
            counted = connection.execute(text("select count(*) from tds_sync_runs where mode = 'dry_run'"))
            return int(counted.scalar_one())

    before, press = run_count(), {"_csrf": csrf_token(token), "_key": key(), "mode": "dry_run"}
    for _ in range(2):
        assert operator.post("/dashboard/do/POST/sync/vendor", data=press).status_code == 303
    assert run_count() == before + 1
    operator.post("/dashboard/do/POST/sync/vendor", data={**press, "_key": key()})
    assert run_count() == before + 2


def test_a_refused_form_keeps_what_was_typed(dashboard: Dashboard) -> None:
    token = dashboard.token(Role.OPERATOR)
    operator = dashboard.app.test_client()
    operator.set_cookie("tds_session", token, domain="localhost")
    form = {"_csrf": csrf_token(token), "_back": "/dashboard/runs", "mode": "sideways", "note": HOSTILE}
    answer = operator.post("/dashboard/do/POST/sync/location", data=form)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "sideways" in page
    assert "<script>document" not in page


@pytest.mark.parametrize("back", ["//evil.example/x", "/dashboard\\..\\..", "https://evil.example", "/api/tds/keys"])
def test_no_form_leads_away(dashboard: Dashboard, back: str) -> None:
    token = dashboard.token(Role.OPERATOR)
    operator = dashboard.app.test_client()
    operator.set_cookie("tds_session", token, domain="localhost")
    form = {"_csrf": csrf_token(token), "_back": back, "mode": "incremental"}
    assert operator.post("/dashboard/do/POST/sync/location", data=form).location == "/dashboard"


@pytest.mark.parametrize(
    ("action", "form", "status"),
    [
        ("POST/login", {"name": "ann"}, 404),
        ("POST/sync/location", {"mode": "full", "mode.part": "1"}, 303),
        ("POST/sync/location", {"mode{}": "[" * 100_000}, 422),
        ("FETCH/sync/location", {"mode": "full"}, 404),
    ],
)
def test_a_form_that_no_page_has_is_refused_and_breaks_nothing(
    dashboard: Dashboard, action: str, form: dict[str, str], status: int
) -> None:
    token = dashboard.token(Role.OPERATOR)
    operator = dashboard.app.test_client()
    operator.set_cookie("tds_session", token, domain="localhost")
    answer = operator.post(f"/dashboard/do/{action}", data={"_csrf": csrf_token(token), **form})
    assert answer.status_code == status


def test_a_form_older_than_its_session_says_so_in_words(dashboard: Dashboard) -> None:
    answer = dashboard.client(Role.OPERATOR).post("/dashboard/do/POST/sync/location", data={"_csrf": "of another"})
    assert answer.status_code == 403
    page = answer.get_data(as_text=True)
    assert "Load the page again" in page and "X-CSRF-Token" not in page


def test_hostile_text_of_records_stays_text_on_every_page(dashboard: Dashboard) -> None:
    pages, _ = crawled(dashboard, Role.ADMIN)
    shown = "".join(pages.values())
    assert "&lt;script&gt;document.title=&#39;owned&#39;" in shown
    assert "<script>document.title" not in shown
    assert "<img src=x" not in shown
    assert [path for path, page in pages.items() if '49"' in page and "{{7*7}}" not in page] == []


def test_csv_holds_no_formula(dashboard: Dashboard) -> None:
    rows = dashboard.get("/dashboard/entities/product", format="csv").get_data(as_text=True)
    assert "'=cmd" in rows
    assert ",=" not in rows
    assert ',"=' not in rows
