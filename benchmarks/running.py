"""All of TDS in a home of its own, with the stand-in for Zoho, its mirror loaded: for benchmarks of the whole."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tds_core.observability.logging import configure_logging
from tds_lab.demo import phases
from tds_lab.testbed import Environment, free_port, running_environment, settings_of_demo
from tds_lab.zoho_stand_in import SIZES, StandInSpec


@contextmanager
def loaded(size: str, **changes: Any) -> Iterator[Environment]:
    """A running TDS that mirrors an organisation of this size; `changes` of the demo's settings."""
    with tempfile.TemporaryDirectory(prefix="tds-bench-") as home:
        os.chmod(home, 0o755)  # noqa: PTH101, S103 (the embedded servers run as another user)
        os.environ.update({"TDS_HOME": home, "TDS_PORT": str(free_port()), "TDS_FLOWER_PORT": str(free_port())})
        spec = StandInSpec(port=free_port(), counts=SIZES[size], seed=7)
        settings = settings_of_demo(spec, workers=None).replace("benchmark", **changes)
        configure_logging(settings.replace("benchmark", log_level="ERROR"), process="benchmark")
        with running_environment(settings, spec, on_step=lambda *_: None) as environment:
            if not phases.load(environment, lambda *_: None):
                raise RuntimeError("The first load did not end in time.")
            yield environment
