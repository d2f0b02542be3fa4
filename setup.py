"""What setup.cfg cannot say: a wheel takes `migrations/` into tds_core, so that it adds no top-level name."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Builds from nothing, so that no file of an earlier build is shipped, and adds Alembic's scripts."""

    def run(self) -> None:
        """Copy the packages, and the scripts to where `tds_core.schema.migrations` looks for them first."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        scripts = Path(self.build_lib, "tds_core/schema/alembic")
        shutil.copytree("migrations", scripts, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildPy})
