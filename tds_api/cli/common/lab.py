"""The error of a command that needs the distribution tds-lab where it is not installed."""

from tds_core.errors import ConfigError


def lab_missing(command: str) -> ConfigError:
    """The error of `command`, for example "`tds demo`": it says what to install."""
    return ConfigError(
        f"{command} is in the distribution tds-lab, which is not installed here, as production needs none of it. "
        "In a checkout of TDS: make demo (for the command alone: pip install ./lab)."
    )
