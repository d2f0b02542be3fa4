"""Reads declared settings from layers: the environment, then .env, then the files of the home directory."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from environs import Env, EnvValidationError, validate
from marshmallow import ValidationError

from tds_core.errors import ConfigError, TdsError

Kind = Literal["text", "integer", "seconds", "yes/no", "path"]
_UNITS = {"_PERCENT": "percent", "_DAYS": "days", "_BYTES": "bytes", "_PER_MINUTE": "per minute", "_PER_DAY": "per day"}
SECRETS_FILE = "secrets.json"
RUNNING_FILE = "running.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A condition for values beside their type, with its description."""

    check: Callable[[Any], Any] | None
    expects: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """The declaration of one setting; `meaning` also says where to get a value.

    `is_settable`: operators may change it while TDS runs, and every process takes it up without a restart.
    """

    variable: str
    kind: Kind
    default: Any
    meaning: str
    group: str
    rule: Rule
    secret: bool = False
    is_settable: bool = False

    @property
    def unit(self) -> str:
        """The unit of its values: seconds, percent, days, bytes, per minute; empty for counts, texts and switches."""
        if self.kind == "seconds":
            return "seconds"
        return next((unit for end, unit in _UNITS.items() if self.variable.endswith(end)), "")

    @property
    def takes(self) -> str:
        """A description of valid values."""
        if self.kind == "text":
            return self.rule.expects or "text"
        return f"{self.kind} {self.rule.expects}".strip()


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One source of values; the first layer that has a variable wins."""

    name: str
    values: Mapping[str, str]


ANYTHING = Rule(None, "")


def whole(low: int, high: int) -> Rule:
    """Accept numbers from `low` to `high`, both included."""
    return Rule(validate.Range(min=low, max=high), f"from {low} to {high}", low, high)


def none_or(low: int, high: int) -> Rule:
    """Accept 0 and numbers from `low` to `high`."""
    allowed = validate.Range(min=low, max=high)
    return Rule(lambda value: value == 0 or allowed(value), f"0, or from {low} to {high}", 0, high)


def one_of(*choices: str) -> Rule:
    """Accept exactly one of the given words."""
    return Rule(validate.OneOf(choices), "one of " + ", ".join(choices), choices=choices)


def time_zone() -> Rule:
    """Accept the names of time zones that are known here."""
    return Rule(zone_named, "a time zone such as Asia/Baghdad")


def zone_named(name: str) -> tzinfo:
    """The time zone of a name; UTC also works without a zone database. Raises `ValidationError`."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValidationError("unknown time zone") from None


def matching(pattern: str, expects: str) -> Rule:
    """Accept text that the regular expression matches from its first to its last character."""
    return Rule(validate.Regexp(rf"\A(?:{pattern})\Z"), expects)


def layers_of_this_process() -> list[Layer]:
    """The environment, the .env file of the working directory, and the home directory's own files."""
    dotenv = {key: value for key, value in dotenv_values(Path.cwd() / ".env").items() if value is not None}
    first = [Layer("environment", dict(os.environ)), Layer(".env", dotenv)]
    home = next((layer.values["TDS_HOME"] for layer in first if layer.values.get("TDS_HOME")), ".tds")
    return [*first, *_layers_of_home(Path(home).expanduser())]


def _layers_of_home(home: Path) -> list[Layer]:
    return [Layer("running stack", stack_of_home(home)), Layer(SECRETS_FILE, _read_json(home / SECRETS_FILE))]


def stack_of_home(home: Path) -> dict[str, str]:
    """The addresses and ports, by variable, of the stack that runs in this home; empty when none does."""
    running = _read_json(home / RUNNING_FILE)
    return running if _is_alive(running.pop("pid", "")) else {}


def _is_alive(pid: str) -> bool:
    """Whether a process with this id exists, so that addresses of a dead stack are never used."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _read_json(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def read_values(declarations: Sequence[Declaration], layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return every setting's value and where it came from.

    Raises ConfigError that names all wrong variables at once, each with what it takes.
    """
    env, sources = _LayeredEnv(layers), {}
    values: dict[str, Any] = {}
    for declaration in declarations:
        read = getattr(env, _METHODS[declaration.kind])
        values[declaration.variable] = read(
            declaration.variable, default=declaration.default, validate=declaration.rule.check
        )
        sources[declaration.variable] = env.source_of(declaration.variable)
    try:
        env.seal()
    except EnvValidationError as error:
        raise ConfigError(_explain(set(error.error_messages), declarations, sources)) from None
    return values, sources


class InvalidValueError(TdsError):
    """A setting cannot have this value."""

    code = "invalid_configuration"


#: Longer than any value of a setting.
LONGEST_VALUE = 500


def typed_value(declaration: Declaration, written: Any) -> Any:
    """The value of a setting from JSON or a command line, read as the environment is. Raises `InvalidValueError`."""
    if isinstance(written, bool):
        written = "yes" if written else "no"
    spelled = str(written) if isinstance(written, str | float) or _is_small(written) else ""
    try:
        if not spelled.strip() or len(spelled) > LONGEST_VALUE or "\0" in spelled:
            raise ConfigError("empty, or nothing a setting takes")
        values, _ = read_values([declaration], [Layer("value", {declaration.variable: spelled})])
        value = values[declaration.variable]
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError("not a number")
    except ConfigError:
        unit = f" ({declaration.unit})" if declaration.unit not in ("", declaration.kind) else ""
        raise InvalidValueError(
            f"{declaration.variable} takes {declaration.takes}{unit}. {declaration.meaning}"
        ) from None
    return value


def _is_small(written: Any) -> bool:
    return isinstance(written, int) and abs(written) < 10**15


_METHODS: dict[Kind, str] = {
    "text": "str", "integer": "int", "seconds": "float", "yes/no": "bool", "path": "path",
}  # fmt: skip


class _LayeredEnv(Env):
    """An environs reader over given layers instead of this process's environment; empty means unset."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(eager=False, expand_vars=False)
        self._layers = layers

    def _find(self, variable: str) -> tuple[str, str] | None:
        for layer in self._layers:
            if value := layer.values.get(variable, ""):
                return value, layer.name
            if path := layer.values.get(f"{variable}_FILE", ""):  # how container platforms mount secrets
                return _read_secret_file(variable, path), f"{layer.name} ({variable}_FILE)"
        return None

    def source_of(self, variable: str) -> str:
        found = self._find(variable)
        return found[1] if found else "default"

    def _get_value(self, env_key: str, default: Any) -> Any:
        found = self._find(env_key)
        return found[0] if found else default


def _read_secret_file(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(f"{variable}_FILE: cannot read {path}: {error.strerror}.") from None


def _explain(wrong: set[str], declarations: Sequence[Declaration], sources: Mapping[str, str]) -> str:
    lines = ["Some settings are wrong:"]
    for declaration in declarations:
        if declaration.variable in wrong:
            lines.append(
                f"  {declaration.variable} (from {sources[declaration.variable]}) takes {declaration.takes}."
                f" {declaration.meaning}"
            )
    return "\n".join(lines)
