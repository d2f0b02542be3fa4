"""Decision records can be cited by number: each has one of its own, and says it."""

import re
from pathlib import Path

RECORDS = sorted((Path(__file__).parents[2] / "docs" / "adr").glob("*.md"))


def test_every_decision_record_has_a_number_of_its_own_and_says_it() -> None:
    numbers = [path.name[:4] for path in RECORDS]
    assert len(set(numbers)) == len(numbers), numbers
    titles = {path.name: path.read_text().splitlines()[0] for path in RECORDS}
    assert {name for name, title in titles.items() if not re.match(rf"# {name[:4]}: \S", title)} == set()
