"""The tree of errors: each is named by what to do about it, and meets HTTP and exit codes in one table."""

from typing import ClassVar


class TdsError(Exception):
    """The root: `code` is stable and for programs, the message is for people and says how to mend it."""

    code: ClassVar[str] = "internal_error"
    retriable: ClassVar[bool] = False


class ConfigError(TdsError):
    """A setting is missing or wrong; an operator must mend it before trying again."""

    code = "configuration_error"


class AlreadyRunningError(TdsError):
    """Another process owns this home directory; stop it or use another home."""

    code = "already_running"


class EmbeddedServerError(TdsError):
    """An embedded PostgreSQL or Redis could not be found, made, started or stopped."""

    code = "embedded_server_error"


class ProgramFailedError(TdsError):
    """A supervised program ended before it was ready; its log says why."""

    code = "program_failed"
