"""Log files lose values in place: nothing else moves, and what a program appends meanwhile stays."""

from pathlib import Path

from tds_core.erasure.log_files import matches_in


def test_values_become_asterisks_and_the_file_keeps_its_length(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("for Ann Lee; Annette; ann+lee; annlee\n")
    with log.open("a") as appending:
        assert matches_in(tmp_path, ["Ann Lee"], overwrite=True) == {"api.log": 2}
        appending.write("more\n")
    assert log.read_text() == "for *******; Annette; *******; annlee\nmore\n"
    assert matches_in(tmp_path, ["Ann Lee"], overwrite=True) == {}


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "api.log.1").write_text("سلوى")
    assert matches_in(tmp_path, ["سلوى"], overwrite=False) == {"api.log.1": 1}
    assert (tmp_path / "api.log.1").read_text() == "سلوى"


def test_without_values_or_a_folder_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text("Ann")
    assert matches_in(tmp_path, [], overwrite=True) == {}
    assert matches_in(tmp_path / "gone", ["Ann"], overwrite=True) == {}
