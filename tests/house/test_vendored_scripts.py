"""Scripts of others are exactly the published ones, each beside its licence."""

import base64
import hashlib
from pathlib import Path

import pytest

import tds_api
from tests.house.code import ROOT

PAGES = Path(tds_api.__file__).parent / "static" / "vendor"
DOCUMENTS = ROOT / "docs" / "assets"
#: Ours.
OWN = {"diagrams.js"}
#: htmx 2.0.11, idiomorph 0.8.0, @mermaid-js/tiny 11.17.2 and the shim of iframe-worker 1.0.4, as npm has them.
DIGESTS = {
    "htmx.min.js": "2OatzQy1H+Zd/IIrjr1TcuDGqLXeHhbooAyJY1KdQMKnr4LZ22k31GBLdYKHmVjg",
    "idiomorph-ext.min.js": "+iBk70O0UWQdSjXQSQ7amSxXCrsWq/6UOtvC9rDo0p7telbTSOyttExq6QCFBzNk",
    "mermaid.tiny.js": "10s6o+N3M2s7dB3bn+t7QT0KKY4aJUPH3JgMK/M0DCc/C23fI5mm0h2dPQcRtVdd",
    "iframe-worker.js": "i9+iFDjSij7H3I1LzwSMPOqE6pSMypPfz/ajWglOLHZEBweuwQ9GMvLA9g0FH0/h",
}
FOUND = {path.name: path for folder in (PAGES, DOCUMENTS) for path in folder.glob("*.js") if path.name not in OWN}


def test_no_script_is_without_a_digest() -> None:
    assert set(FOUND) == set(DIGESTS)


@pytest.mark.parametrize("name", DIGESTS)
def test_a_script_is_the_published_one_and_has_its_licence(name: str) -> None:
    path = FOUND[name]
    digest = base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
    assert digest == DIGESTS[name]
    stems = {name.partition(".")[0], name.partition(".")[0].partition("-")[0]}
    assert any((path.parent / f"{stem}.LICENSE.txt").exists() for stem in stems)
