"""A program like `tds up` whose programs are families of sleepers, to see how a stack ends without waiting for TDS."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

from tds_api.cli.up import StopRequested, stop_signals
from tds_core.config.settings import Settings, load_settings
from tds_core.observability.logging import configure_logging
from tds_local.stack import running_stack
from tds_local.supervisor import Program

# A child that ignores SIGTERM and one that leaves its process group, as servers' workers may.
FAMILY = """
import os, subprocess, sys, time
run = lambda code: subprocess.Popen([sys.executable, "-c", code])
run("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
run("import os, time; os.setpgrp(); time.sleep(600)")
time.sleep(600)
"""


def families(_settings: Settings) -> Iterator[Program]:
    """Two programs of three processes each."""
    for name in ("first", "second"):
        yield Program(name=name, argv=[sys.executable, "-c", FAMILY])


def main() -> None:
    """Run until told to stop, after one line of JSON."""
    configure_logging(load_settings(), process="up")
    with (
        contextlib.suppress(StopRequested),
        stop_signals() as later,
        running_stack(load_settings(), programs=families) as stack,
    ):
        later.append(stack.processes.hurry)
        sys.stdout.write(json.dumps({"pid": os.getpid(), "redis": stack.settings.redis_url}) + "\n")
        sys.stdout.flush()
        stack.wait()


if __name__ == "__main__":
    main()
