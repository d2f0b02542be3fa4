"""Every page of the dashboard in a real browser: as each role, on a desk and a phone, light and dark, with axe-core."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.routing import Rule

from tds_models.auth import Role
from tests.conftest import copied_database
from tests.support.chromium import IS_MISSING, Chromium, chromium
from tests.support.dashboard import Dashboard, populated_dashboard

AXE = Path(__file__).parents[2] / "support" / "axe" / "axe.min.js"
_LINKS = "[...new Set([...document.querySelectorAll('a[href]')].map(a => a.pathname + a.search))]"
#: Rules of axe-core: those of WCAG 2.0 to 2.2, levels A and AA.
_AXE = """
axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}).then(found => found.violations
    .filter(each => ['serious', 'critical'].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(' | ')}`))
"""
#: Where and as whom; a viewer reads without scripts beside these, and all other combinations are in `make faults`.
WALKS = [
    pytest.param(Role.ADMIN, 1440, "light", id="admin-desk-light"),
    pytest.param(Role.OPERATOR, 360, "dark", id="operator-phone-dark"),
]
OTHER_WALKS = [
    pytest.param(role, width, scheme, marks=pytest.mark.long)
    for role in Role
    for width in (1440, 360)
    for scheme in ("light", "dark")
    if (role, width, scheme) not in [tuple(walk.values) for walk in WALKS]
]

pytestmark = pytest.mark.skipif(IS_MISSING, reason="there is no chromium here")


@pytest.fixture(scope="module")
def dashboard(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A dashboard with something on every page, which these tests only read."""
    home = tmp_path_factory.mktemp("home")
    with copied_database(postgres_url, template_database) as database, populated_dashboard(database, home) as served:
        yield served


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with chromium() as tab:
        yield tab


def logged_in(browser: Chromium, dashboard: Dashboard, role: Role) -> None:
    browser.set_cookie(dashboard.url, "tds_session", dashboard.token(role))


def rule_of(dashboard: Dashboard, path: str) -> str | None:
    """The rule of a page's address; None where it is no page of the dashboard."""
    bare = path.partition("?")[0]
    if not bare.startswith("/dashboard") or "/assets/" in bare or bare.endswith("/preferences"):
        return None
    try:
        return str(dashboard.app.url_map.bind("localhost").match(bare)[0])
    except NotFound:
        return f"nothing at {bare}"


def complaints(browser: Chromium, role: Role) -> list[str]:
    """What the console says, but for pages of others, which are refused in their frame."""
    return [each for each in browser.complaints if role is Role.ADMIN or "status of 403" not in each]


def crawl(browser: Chromium, dashboard: Dashboard, look: Any) -> set[str]:
    """Open one page of each rule that links lead to, and look at it. Returns the endpoints seen."""
    seen: set[str] = set()
    waiting = [
        "/dashboard",
        "/dashboard/find?q=HA",
        "/dashboard/dead-letters/retry?entity=product",
        "/dashboard/comparison/statement",
    ]
    while waiting:
        path = waiting.pop(0)
        endpoint = rule_of(dashboard, path)
        if endpoint is None or endpoint in seen:
            continue
        seen.add(endpoint)
        browser.open(dashboard.url + path)
        look(path)
        waiting += [each for each in browser.ask(_LINKS) if "format=" not in each]
    return seen


def page_endpoints(dashboard: Dashboard) -> set[str]:
    """The endpoints of all pages."""

    def is_page(rule: Rule) -> bool:
        return rule_of(dashboard, str(rule)) is not None if not rule.arguments else str(rule).startswith("/dashboard")

    rules = [rule for rule in dashboard.app.url_map.iter_rules() if "GET" in (rule.methods or ()) and is_page(rule)]
    return {rule.endpoint for rule in rules if "/assets/" not in str(rule) and not str(rule).endswith("/preferences")}


@pytest.mark.parametrize(("role", "width", "scheme"), [*WALKS, *OTHER_WALKS])
def test_every_page_is_readable_to_everybody(
    dashboard: Dashboard, browser: Chromium, role: Role, width: int, scheme: str
) -> None:
    logged_in(browser, dashboard, role)
    browser.size(width, 900, scheme=scheme)
    wrong: dict[str, Any] = {}
    axe = AXE.read_text()

    def look(path: str) -> None:
        browser.ask(axe + ";0")
        problems = list(browser.ask(_AXE))
        if browser.ask("document.documentElement.scrollWidth > innerWidth"):
            problems.append("sticks out sideways")
        if browser.ask("document.title").startswith("owned"):
            problems.append("ran a script out of a record")
        if problems:
            wrong[path] = problems
        if where := os.environ.get("TEST_PICTURES"):
            name = path.strip("/").replace("/", "-").partition("?")[0]
            browser.picture(Path(where) / f"{name}-{role}-{width}-{scheme}.png")

    seen = crawl(browser, dashboard, look)
    assert [each for each in seen if each.startswith("nothing at")] == []
    assert json.dumps(wrong, indent=1) == "{}"
    assert "\n".join(complaints(browser, role)) == ""
    assert [each for each in browser.requests if not each.startswith((dashboard.url, "about:", "data:"))] == []
    if role is Role.ADMIN:
        assert page_endpoints(dashboard) - seen == set()


def test_pages_are_read_without_scripts(dashboard: Dashboard, browser: Chromium) -> None:
    logged_in(browser, dashboard, Role.VIEWER)
    browser.run_scripts(on=False)
    empty: list[str] = []

    def look(path: str) -> None:
        if len(browser.ask("document.querySelector('main').innerText")) < 40:
            empty.append(path)

    assert len(crawl(browser, dashboard, look)) > 20
    assert empty == []
    assert complaints(browser, Role.VIEWER) == []


_POLLS = "performance.getEntriesByType('resource').filter(e => e.initiatorType == 'xmlhttprequest').length"
_FASTER = "document.getElementById('main').dataset.refresh = '0.2'"


def test_what_the_reader_has_in_hand_outlives_polls(dashboard: Dashboard, browser: Chromium) -> None:
    logged_in(browser, dashboard, Role.OPERATOR)
    browser.open(f"{dashboard.url}/dashboard/dead-letters?state=open")
    browser.wait_for("document.querySelectorAll('tbody input[type=checkbox]').length >= 3")
    before = browser.ask(_POLLS)
    browser.ask(_FASTER)
    browser.wait_for(f"{_POLLS} >= {before} + 2")
    browser.ask("[...document.querySelectorAll('tbody input[type=checkbox]')].slice(0, 3).forEach(box => box.click())")
    settled = browser.ask(_POLLS)
    browser.ask("new Promise(done => setTimeout(done, 4000))")
    assert browser.ask("document.querySelectorAll('tbody input:checked').length") == 3
    assert browser.ask(_POLLS) <= settled + 1, "a page is not read again while rows are selected"


def test_typed_text_and_an_open_question_outlive_polls(dashboard: Dashboard, browser: Chromium) -> None:
    logged_in(browser, dashboard, Role.OPERATOR)
    browser.open(f"{dashboard.url}/dashboard/runs")
    browser.ask("document.querySelector('details.act summary').click()")
    browser.ask("document.querySelector('details.act[open] select').focus()")
    browser.ask(_FASTER)
    browser.ask("new Promise(done => setTimeout(done, 3000))")
    assert browser.ask("document.querySelectorAll('details.act[open]').length") == 1
    browser.press("Escape")
    assert browser.ask("document.querySelectorAll('details.act[open]').length") == 0
    browser.open(f"{dashboard.url}/dashboard/entities/product")
    browser.ask("document.querySelector('.filters input').focus()")
    browser.type("A-1")
    browser.ask("document.getElementById('main').dataset.refresh = '0.2'")
    browser.ask("new Promise(done => setTimeout(done, 3000))")
    assert browser.ask("document.querySelector('.filters input').value") == "A-1"


def test_a_tab_in_the_background_asks_for_nothing(dashboard: Dashboard, browser: Chromium) -> None:
    logged_in(browser, dashboard, Role.VIEWER)
    browser.open(f"{dashboard.url}/dashboard")
    browser.ask("Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})")
    browser.ask(_FASTER)
    before = browser.ask(_POLLS)
    browser.ask("new Promise(done => setTimeout(done, 3000))")
    assert browser.ask(_POLLS) <= before + 1
    browser.ask("Object.defineProperty(document, 'hidden', {get: () => false, configurable: true})")
    browser.wait_for(f"{_POLLS} > {before} + 1")


def test_an_ended_session_leads_to_the_log_in_and_empties_no_page(dashboard: Dashboard, browser: Chromium) -> None:
    logged_in(browser, dashboard, Role.VIEWER)
    browser.open(f"{dashboard.url}/dashboard/queue")
    browser.set_cookie(dashboard.url, "tds_session", "over")
    browser.wait_for("location.pathname == '/api/tds/login' && location.search.includes('next=/dashboard/queue')")


def test_a_refused_poll_takes_no_page_away(dashboard: Dashboard, browser: Chromium) -> None:
    logged_in(browser, dashboard, Role.VIEWER)
    browser.open(f"{dashboard.url}/dashboard/queue")
    main = "document.getElementById('main')"
    browser.ask(f"{main}.setAttribute('hx-get', '/dashboard/nothing-stands-here'); htmx.process({main})")
    before = browser.ask(_POLLS)
    browser.ask(_FASTER)
    browser.wait_for(f"{_POLLS} >= {before} + 3")
    assert browser.ask(f"{main}?.querySelector('h1')?.innerText") == "Queue"


def test_keys_lead_everywhere(dashboard: Dashboard, browser: Chromium) -> None:
    logged_in(browser, dashboard, Role.VIEWER)
    browser.open(f"{dashboard.url}/dashboard")
    browser.press("?")
    browser.wait_for("document.getElementById('keys').open")
    browser.press("Escape")
    browser.wait_for("!document.getElementById('keys').open")
    browser.press("g")
    browser.press("r")
    browser.wait_for("location.pathname == '/dashboard/runs'")
    browser.wait_for("document.readyState == 'complete'")
    browser.press("j")
    browser.wait_for("document.querySelector('tr.at') !== null")
    browser.press("/")
    browser.wait_for("document.activeElement.matches('.filters select, .filters input')")


@pytest.mark.parametrize("width", [1440, 360])
def test_the_log_in_and_the_overview_in_arabic(dashboard: Dashboard, browser: Chromium, width: int) -> None:
    browser.size(width, 900)
    browser.open(f"{dashboard.url}/dashboard/preferences?language=ar&back=/api/tds/login")
    assert browser.ask("document.querySelector('h1').innerText") == "تسجيل الدخول"
    logged_in(browser, dashboard, Role.VIEWER)
    browser.open(f"{dashboard.url}/dashboard")
    assert browser.ask("[document.documentElement.dir, document.querySelector('h1').innerText]") == ["rtl", "نظرة عامة"]
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    navigation = browser.ask("document.querySelector('nav.pages').innerText")
    assert [word for word in navigation.split() if word.isascii() and word.isalpha()] == []
    if where := os.environ.get("TEST_PICTURES"):
        browser.picture(Path(where) / f"dashboard-arabic-{width}.png")


DOCUMENT = Path(__file__).parents[3] / "docs" / "dashboard.md"
#: The pictures of the documents: their page, and what is to be seen there.
PICTURES = {
    "overview": ("/dashboard", "Equal to Zoho"),
    "record": ("", "Timeline"),
    "comparison": ("/dashboard/comparison", "Agreement"),
    "dead-letters": ("/dashboard/dead-letters", "HTTP 503"),
    "webhooks": ("/dashboard/webhooks", "Webhooks"),
    "quota": ("/dashboard/quota", "Quota"),
    "alerts": ("/dashboard/alerts", "Alerts"),
}


def test_the_pictures_of_the_documents_show_what_they_say(dashboard: Dashboard, browser: Chromium) -> None:
    named = set(re.findall(r"pictures/([\w-]+)\.png", DOCUMENT.read_text()))
    assert named == set(PICTURES)
    logged_in(browser, dashboard, Role.OPERATOR)
    browser.size(1280, 800)
    browser.open(f"{dashboard.url}/dashboard/entities/product")
    record = browser.ask("document.querySelector('tbody tr:last-child a').pathname")
    for name, (path, words) in PICTURES.items():
        browser.open(dashboard.url + (path or record))
        assert words in browser.ask("document.querySelector('main').innerText"), name
        if where := os.environ.get("DOCS_PICTURES"):
            browser.picture(Path(where) / f"{name}.png", whole=False)
        assert (DOCUMENT.parent / "pictures" / f"{name}.png").stat().st_size > 10_000
