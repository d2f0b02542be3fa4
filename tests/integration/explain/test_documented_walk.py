"""The walk of docs/explain.md promises: who never saw TDS finds out in three commands why a price differs."""

import re
from pathlib import Path

import pytest

import tds_core
from tds_core.inbox.rejected import Rejection, keep_rejected
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.world import World

PAGE = Path(tds_core.__file__).parents[1] / "docs" / "explain.md"
README = PAGE.parents[1] / "README.md"
#: The record the page is about.
RECORD = "1783541000000012345"


def transcript() -> list[tuple[list[str], str]]:
    """The commands of the page and what they say there."""
    [block] = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.S)
    parts = re.split(r"^\$ tds (.*)\n", block, flags=re.M)[1:]
    return [(command.split(), said) for command, said in zip(parts[::2], parts[1::2], strict=True)]


def plain(said: str) -> list[str]:
    """What was said without what differs from day to day: moments, durations, distances, widths, who runs it."""
    said = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "MOMENT", said)
    said = re.sub(r"[\d,]+ ms\b", "DURATION", said)
    said = re.sub(r"(\d+ (s|min|h|d) ago)|in \d+ (s|min|h|d)", "DISTANCE", said)
    return [re.sub(r"\s+", " ", line).strip() for line in said.splitlines() if line.strip()]


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def record(synced: World, standin: StandIn) -> str:
    """A product whose price was changed in Zoho, and whose webhook was signed with another secret than ours."""
    synced.run("product", "full")
    source_id = standin.ids("items")[0]
    standin.edit("items", source_id, rate=14.5)
    refused = Rejection(
        reason="signature_wrong", detail="x", status=401, path="/api/tds/zoho/webhooks/product/updated", headers={},
        remote_address="136.143.190.12", body=b"{}", body_size=2, correlation_id="c", entity="product",
        source_id=source_id,
    )  # fmt: skip
    with session_scope(synced.engine) as session:
        keep_rejected(session, refused)
    return source_id


def test_three_commands_lead_to_why_a_price_differs(tds: CommandLine, record: str, synced: World) -> None:
    price = str(synced.row("product", record)["price"])
    told = []
    for command, _ in transcript():
        said = tds(*[record if word == RECORD else word for word in command])
        told.append(said.out.replace(record, RECORD).replace(f" {price}", " 12.5").replace(f'"{price}"', '"12.5"'))
    assert [plain(each) for each in told] == [plain(expected) for _, expected in transcript()]
    assert len(told) <= 2  # beside the help, which leads to them


def test_the_help_and_the_readme_lead_there(tds: CommandLine) -> None:
    helped = " ".join(tds("--help").out.split())
    assert re.search(r"explain Show how a record stands and why", helped)
    options = " ".join(tds("explain", "--help").out.split())
    assert "--field" in options
    assert "--live" in options
    readme = README.read_text()
    assert "docs/explain.md" in readme
    for command, _ in transcript():
        assert "tds " + " ".join(command) in readme
