"""The API's HTTP server, `python -m tds_api.server`: settings and options decide where it serves."""

import argparse
import os
import sys

from tds_core.config.settings import load_settings

_PROCESSES = "tds_api.server_processes"


def main() -> None:
    """Serve where the settings say, or the options."""
    settings = load_settings()
    parser = argparse.ArgumentParser(prog="python -m tds_api.server", description="The HTTP server of TDS.")
    parser.add_argument("--host", default=settings.host, help="instead of TDS_HOST")
    parser.add_argument("--port", type=int, default=settings.port, help="instead of TDS_PORT")
    parser.add_argument("--processes", type=int, default=settings.api_processes, help="instead of TDS_API_PROCESSES")
    parser.add_argument("--app", default="tds_api.rsgi:app", help="another application of the same kind")
    options = parser.parse_args()
    # As a new program in this process: what was imported to read the settings would outlive an upgrade in it.
    where = [options.host, str(options.port), str(options.processes), options.app]
    os.execv(sys.executable, [sys.executable, "-m", _PROCESSES, *where])  # noqa: S606 (our own module)


if __name__ == "__main__":
    main()
