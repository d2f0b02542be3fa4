"""Programs that only tests of deployment files need. Where CI is set a missing one fails the test, else it skips it."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def tool(name: str, package: str) -> str:
    """The path of a program from this environment, PATH or Debian's directories of system programs."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        says = f"{name} is not installed ({package})"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    return found
