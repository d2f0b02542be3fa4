"""The API does what its description says, whoever asks and whatever they ask: a small share of `make fuzz`."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.fuzzing.__main__ import fuzz
from tests.fuzzing.environment import ADMIN, NOBODY, running_environment

OPTIONS = ["--phases", "fuzzing", "--max-examples", "1", "--seed", "1"]


@pytest.mark.acceptance
def test_no_answer_is_a_surprise(database: str, engine: Engine, redis_url: str, tmp_path: Path) -> None:
    with running_environment(database, engine, redis_url) as environment:
        for asker in (NOBODY, "viewer", "operator", ADMIN):
            found = fuzz(environment, asker, home=tmp_path, options=OPTIONS)
            assert (found["failures"], found["errors"]) == ([], []), (tmp_path / f"{asker}.txt").read_text()
            assert found["test_cases"]["generated"] > 0
