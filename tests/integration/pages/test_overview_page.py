"""The overview: what it shows, as HTML and JSON; and that it answers while PostgreSQL is away."""

from sqlalchemy import Engine, create_engine, text

from tds_models.auth import Role
from tests.support.dashboard import dashboard_for

HTML, JSON = {"Accept": "text/html"}, {"Accept": "application/json"}


def test_the_host_leads_to_the_overview_and_the_log_in_leads_back(database: str, engine: Engine) -> None:
    with dashboard_for(database, engine) as dashboard:
        stranger = dashboard.app.test_client()
        assert stranger.get("/").location == "/dashboard"
        refused = stranger.get("/dashboard/runs?state=held", headers=HTML)
        assert (refused.status_code, refused.location) == (303, "/api/tds/login?next=/dashboard/runs%3Fstate%3Dheld")
        form = {"name": "viewer-of-test", "password": "correct horse battery", "next": "/dashboard/runs?state=held"}
        assert stranger.post("/api/tds/login", data=form).location == "/dashboard/runs?state=held"
        assert stranger.get("/dashboard", headers=HTML).status_code == 200


def test_the_same_address_answers_as_json(database: str, engine: Engine) -> None:
    with dashboard_for(database, engine) as dashboard:
        viewer = dashboard.client(Role.VIEWER)
        by_argument, by_header = viewer.get("/dashboard?format=json"), viewer.get("/dashboard", headers=JSON)
        assert by_argument.json.keys() == by_header.json.keys()
        assert by_argument.json["health"]["status"] in ("ok", "degraded", "unhealthy")


def test_a_poll_that_would_be_the_same_is_not_sent_again(database: str, engine: Engine) -> None:
    with dashboard_for(database, engine) as dashboard:
        viewer = dashboard.client(Role.VIEWER)
        poll = {"HX-Request": "true", **HTML}
        first = viewer.get("/dashboard/entities", headers=poll)
        assert first.get_data(as_text=True).lstrip().startswith("<main")
        again = viewer.get("/dashboard/entities", headers={**poll, "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.get_data()) == (304, b"")


def test_the_overview_answers_without_postgresql(database: str, engine: Engine, postgres_url: str) -> None:
    name = database.rpartition("/")[2]
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with dashboard_for(database, engine) as dashboard, server.connect() as connection:
        viewer, stranger = dashboard.client(Role.VIEWER), dashboard.app.test_client()
        stranger.set_cookie("tds_session", "unknown", domain="localhost")
        assert "PostgreSQL cannot be reached" not in viewer.get("/dashboard", headers=HTML).get_data(as_text=True)
        connection.execute(text(f'alter database "{name}" allow_connections false'))
        connection.execute(
            text("select pg_terminate_backend(pid) from pg_stat_activity where datname = :name"), {"name": name}
        )
        away = viewer.get("/dashboard", headers=HTML)
        shown = away.get_data(as_text=True)
        assert away.status_code == 200
        assert "PostgreSQL cannot be reached" in shown
        assert "What follows is as of" in shown
        assert "Products" in shown
        assert viewer.get("/dashboard/runs", headers=HTML).status_code == 503
        assert stranger.get("/dashboard", headers=HTML).status_code == 503
        connection.execute(text(f'alter database "{name}" allow_connections true'))
        assert "PostgreSQL cannot be reached" not in viewer.get("/dashboard", headers=HTML).get_data(as_text=True)
    server.dispose()
