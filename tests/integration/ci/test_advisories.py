"""The audit of dependencies fails on a known weakness, and on nothing else that happens to the database it asks."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.house.code import ROOT

PROGRAM = ROOT / ".ci/advisories.py"
WEAKNESS = {
    "id": "GHSA-aaaa-bbbb-cccc", "aliases": ["CVE-2099-0001"], "summary": "Bad.", "details": "Bad.",
    "published": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
    "affected": [{
        "package": {"name": "flask", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
    }],
}  # fmt: skip


class Advisories(BaseHTTPRequestHandler):
    """Answers as osv.dev does: with what it is told for a package's name, or with a status alone."""

    weak: ClassVar[set[str]] = set()
    status: ClassVar[int] = 200

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {"vulns": [WEAKNESS]} if asked["package"]["name"] in self.weak else {}
        body = json.dumps(found).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the server's name for it)
        """Say nothing."""


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a database of advisories."""
    monkeypatch.setattr(Advisories, "weak", set())
    monkeypatch.setattr(Advisories, "status", 200)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "some.lock"
    path.write_text(f"flask==3.1.3 --hash=sha256:{'0' * 64}\nrich==15.0.0 --hash=sha256:{'0' * 64}\n")
    return path


def audit(lock: Path, database: str, program: Path = PROGRAM) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, program, lock, "-s", "osv", "--osv-url", database, "--cache-dir", lock.parent / "cache"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_no_known_weakness_is_well(lock: Path, database: str) -> None:
    assert audit(lock, database) == (0, "advisories: 0 in 2 packages\n")


def test_a_known_weakness_fails_and_is_named(lock: Path, database: str) -> None:
    Advisories.weak = {"flask"}
    code, says = audit(lock, database)
    assert code == 1
    assert "flask 3.1.3: CVE-2099-0001, fixed in 99.0" in says
    assert "advisories: 1 in 2 packages" in says


@pytest.mark.parametrize(("until", "code"), [("2999-12-31", 0), ("2020-01-01", 1)])
def test_a_weakness_is_accepted_for_a_time(until: str, code: int, lock: Path, database: str, tmp_path: Path) -> None:
    Advisories.weak = {"flask"}
    program = tmp_path / "advisories.py"
    program.write_text(PROGRAM.read_text())
    program.with_name("accepted-advisories.txt").write_text(f"CVE-2099-0001 until {until}: TDS does not use it\n")
    assert audit(lock, database, program)[0] == code


def test_a_line_without_a_reason_is_refused(lock: Path, database: str, tmp_path: Path) -> None:
    program = tmp_path / "advisories.py"
    program.write_text(PROGRAM.read_text())
    program.with_name("accepted-advisories.txt").write_text("CVE-2099-0001 until 2999-12-31\n")
    assert audit(lock, database, program)[0] == 2


@pytest.mark.parametrize("status", [500, 503])
def test_a_database_that_fails_is_said_and_stops_nothing(status: int, lock: Path, database: str) -> None:
    Advisories.status = status
    code, says = audit(lock, database)
    assert (code, "NOT ASKED" in says) == (0, True)


def test_a_database_that_cannot_be_reached_is_said_and_stops_nothing(lock: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code, says = audit(lock, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert (code, "NOT ASKED" in says) == (0, True)


def test_a_lock_that_cannot_be_read_is_no_outage(lock: Path, database: str) -> None:
    lock.write_text("flask==3.1.3\n")
    assert audit(lock, database)[0] == 2
