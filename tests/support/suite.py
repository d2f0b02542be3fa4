"""Run the suite as `make test` does: parts in two processes, then whole stacks one at a time, nothing beside them.

What failed runs once more, alone, where it is little: many tests are about time, and a machine that stalls for seconds
fails one of thousands. A test that fails both times fails the suite. One that passes the second time is named at the
end: it is a fault of the test or of TDS that shows itself seldom, and somebody has to look.

What is given on the command line goes to every run of pytest, such as `--cov --cov-append`.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SELECTIONS = (
    ("-n", "2", "--ignore", "tests/acceptance", "-m", "not long", "--durations", "5"),
    ("tests/acceptance", "-m", "not long", "--durations", "10"),
)
#: More failures than these are no accident, so they are not tried again.
RETRIED = 6
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")
PYTEST_SOME_FAILED = 1


def run_pytest(*arguments: str) -> int:
    """Run pytest. Returns its exit status."""
    command = [sys.executable, "-m", "pytest", *arguments]
    print("+", *command, flush=True)
    return subprocess.run(command, check=False).returncode


def last_failed() -> list[str]:
    """The tests that failed when pytest ran last."""
    return sorted(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []


def run_selection(arguments: Sequence[str]) -> tuple[int, list[str]]:
    """Run a part of the suite, and again what failed of it. Returns the status and the tests that failed only once."""
    LAST_FAILED.unlink(missing_ok=True)
    status = run_pytest(*arguments, *sys.argv[1:])
    failed = last_failed() if status == PYTEST_SOME_FAILED else []
    if not 0 < len(failed) <= RETRIED:
        return status, []
    status = run_pytest(*failed, *sys.argv[1:])
    failed_twice = last_failed()
    return status, [test for test in failed if test not in failed_twice]


def main() -> int:
    """Run all parts, whichever of them fails. Returns 0 where every test passed in the end, else 1."""
    statuses, unsteady = [], list[str]()
    for arguments in SELECTIONS:
        status, passed_alone = run_selection(arguments)
        statuses.append(status)
        unsteady += passed_alone
    for test in unsteady:
        print(f"UNSTEADY {test}: failed among others, passed alone. Its first failure is shown above.")
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main())
