"""A protection can be taken away in a chaos run, and nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tds_core.errors import ConfigError
from tds_core.protection_switches import HOME, VARIABLE, Protection, is_off


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    is_off.cache_clear()
    yield
    is_off.cache_clear()


def test_every_protection_is_there_unless_somebody_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not any(is_off(each) for each in Protection)


def test_a_chaos_run_takes_away_what_it_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TDS_HOME", str(tmp_path / HOME))
    monkeypatch.setenv(VARIABLE, "fence,guard")
    assert [each for each in Protection if is_off(each)] == [Protection.FENCE, Protection.GUARD]


def test_anywhere_else_nothing_is_done_without_protection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TDS_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "fence")
    with pytest.raises(ConfigError, match=VARIABLE):
        is_off(Protection.GUARD)
