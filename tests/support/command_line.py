"""`tds` called in the test's process: arguments in; exit code, output and complaints out."""

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tds_api.cli.app import main


@dataclass(frozen=True)
class CommandResult:
    """What a command printed and how it ended."""

    exit_code: int
    out: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """Calls `tds` with the environment as the test has set it."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    columns: int | None = 160  # how wide the terminal is; None: a pipe

    def __call__(self, *arguments: str) -> CommandResult:
        self.capsys.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["tds", *arguments])
        if self.columns:
            self.monkeypatch.setenv("COLUMNS", str(self.columns))
        else:
            self.monkeypatch.delenv("COLUMNS", raising=False)
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        written = self.capsys.readouterr()
        return CommandResult(int(code or 0), written.out, written.err)
