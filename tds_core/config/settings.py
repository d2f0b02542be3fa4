"""Every setting of TDS, declared once: its variable, type, default and meaning. The reference is generated from it."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tds_core.config import declaration as d
from tds_core.config import sources as env
from tds_core.config.access_settings import AuthSettings, OutboundSettings
from tds_core.config.alert_settings import AlertSettings
from tds_core.config.backup_settings import BackupSettings
from tds_core.config.database_settings import DatabaseSettings
from tds_core.config.healing_settings import HealingSettings
from tds_core.config.overrides import SettableValue, overrides
from tds_core.config.retention_settings import RetentionSettings
from tds_core.config.validation_settings import ValidationSettings
from tds_core.data_centers import DATA_CENTERS
from tds_core.database_urls import password_of, with_driver, without_password
from tds_core.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(
    AuthSettings,
    DatabaseSettings,
    RetentionSettings,
    ValidationSettings,
    OutboundSettings,
    AlertSettings,
    HealingSettings,
    BackupSettings,
):
    """The settings of one process, made by `load_settings`.

    What is declared settable always reads as the value in force now; everything else stays as the environment had it.
    """

    database_url: str = d.storage(
        "TDS_DATABASE_URL", "text", "", "PostgreSQL 15 or newer; unset: `tds up` runs one.", d.DATABASE, secret=True
    )
    migration_database_url: str = d.storage(
        "TDS_MIGRATION_DATABASE_URL", "text", "", "The same database as its owner, for `tds migrate` only.",
        d.DATABASE, secret=True,
    )  # fmt: skip
    replica_url: str = d.storage(
        "TDS_REPLICA_URL", "text", "", "A streaming replica for lists, search and statistics; unset: none.",
        d.DATABASE, secret=True,
    )  # fmt: skip
    replica_lag_seconds: float = d.storage(
        "TDS_REPLICA_LAG_SECONDS", "seconds", 5.0, "One further behind is not read from.", env.whole(0, 3600)
    )
    reader_password: str = d.storage(
        "TDS_READER_PASSWORD", "text", "", "Of the role tds_reader; unset: it cannot log in.", d.TOKEN, secret=True
    )
    redis_url: str = d.storage(
        "TDS_REDIS_URL", "text", "", "Redis 7 or Valkey, or Sentinels; unset: `tds up` runs one.", d.REDIS, secret=True
    )
    broker_url: str = d.storage(
        "TDS_BROKER_URL", "text", "", "Celery's broker: Redis, Sentinels or RabbitMQ; unset: TDS_REDIS_URL.",
        d.BROKER, secret=True,
    )  # fmt: skip
    home: Path = d.storage("TDS_HOME", "path", ".tds", "Generated secrets, logs, embedded servers.")  # noqa: RUF009 (a field)

    version: str = d.storage(
        "TDS_VERSION", "text", importlib.metadata.version("tds"), "What runs, as operators are told: a tag, a commit."
    )

    host: str = d.api("TDS_HOST", "text", "127.0.0.1", "Address the API listens on.")
    port: int = d.api("TDS_PORT", "integer", 8800, "Port the API listens on.", d.PORT)
    public_url: str = d.api("TDS_PUBLIC_URL", "text", "", "How Zoho and browsers reach the API.", d.ADDRESS)
    api_processes: int = d.api(
        "TDS_API_PROCESSES", "integer", 1, "Server processes of the API; `tds up` has two at least.", env.whole(1, 64)
    )
    api_threads: int = d.api(
        "TDS_API_THREADS", "integer", 64, "Threads of each that answer pages and questions.", env.whole(1, 1024)
    )
    secret_key: str = d.api(
        "TDS_SECRET_KEY", "text", "", "Encrypts tokens; Fernet.generate_key() makes one.", d.FERNET_KEY, secret=True
    )
    secret_key_previous: str = d.api(
        "TDS_SECRET_KEY_PREVIOUS", "text", "", "Still opens what it locked, while rotating.", d.FERNET_KEYS, secret=True
    )
    api_token: str = d.api("TDS_API_TOKEN", "text", "", "Token of the first administrator.", d.TOKEN, secret=True)

    webhook_max_bytes: int = d.webhook(
        "TDS_WEBHOOK_MAX_BYTES", "integer", 1_048_576, "Largest body taken, in bytes.", env.whole(1024, 67_108_864)
    )
    unsigned_webhooks: bool = d.webhook(
        "TDS_UNSIGNED_WEBHOOKS", "yes/no", False, "Take webhooks without a signature; said at every start."
    )
    duplicate_window_seconds: float = d.webhook(
        "TDS_DUPLICATE_WINDOW_SECONDS",
        "seconds",
        600.0,
        "Within it, same record and content is one event.",
        d.DAY,
        settable=True,
    )

    workers: int = d.work(
        "TDS_WORKERS", "integer", 2, "Worker processes `tds up` starts; no other program goes by it.", env.whole(0, 64)
    )
    worker_concurrency: int = d.work(
        "TDS_WORKER_CONCURRENCY", "integer", 2, "Tasks one worker runs at once.", env.whole(1, 256)
    )
    claim_size: int = d.work(
        "TDS_CLAIM_SIZE",
        "integer",
        100,
        "Work items claimed and applied together.",
        env.whole(1, 10_000),
        settable=True,
    )
    lease_seconds: float = d.work(
        "TDS_LEASE_SECONDS", "seconds", 15.0, "How long a claim lasts without a heartbeat.", env.whole(1, 3600)
    )
    heartbeat_seconds: float = d.work(
        "TDS_HEARTBEAT_SECONDS", "seconds", 4.0, "How often claims are renewed; below half a lease.", env.whole(0, 1800)
    )
    max_attempts: int = d.work(
        "TDS_MAX_ATTEMPTS", "integer", 8, "Counted attempts before a dead letter.", env.whole(1, 1000), settable=True
    )
    cursor_overlap_seconds: float = d.work(
        "TDS_CURSOR_OVERLAP_SECONDS",
        "seconds",
        300.0,
        "How far a read goes back behind its cursor.",
        d.DAY,
        settable=True,
    )
    clock_tolerance_seconds: float = d.work(
        "TDS_CLOCK_TOLERANCE_SECONDS", "seconds", 300.0, "Times further ahead of the source's clock are no evidence.",
        d.DAY,
    )  # fmt: skip
    guard_percent: int = d.work(
        "TDS_GUARD_PERCENT",
        "integer",
        5,
        "Share of its records a run may change unasked.",
        env.whole(0, 100),
        settable=True,
    )
    guard_records: int = d.work(
        "TDS_GUARD_RECORDS", "integer", 50, "So many it may in any case.", d.CALLS, settable=True
    )
    time_zone: str = d.work(
        "TDS_TIME_ZONE",
        "text",
        "UTC",
        "Whose midnight begins a day, whose night is the timetable's; the organisation's once connected.",
        env.time_zone(),
        settable=True,
    )

    comparison_settle_seconds: float = d.work(
        "TDS_COMPARISON_SETTLE_SECONDS", "seconds", 60.0, "So long a change may be on its way before it is missed.",
        d.DAY, settable=True
    )  # fmt: skip
    comparison_follow_seconds: float = d.work(
        "TDS_COMPARISON_FOLLOW_SECONDS", "seconds", 21_600.0, "The daily comparison follows a full pass this recent.",
        d.MONTH, settable=True
    )  # fmt: skip

    repair_policies: str = d.work(
        "TDS_REPAIR_POLICIES", "text", "", "Fields a repair leaves alone: product.brand=keep,customer.email=ask."
    )

    log_format: str = d.watch("TDS_LOG_FORMAT", "text", "json", "How log lines look.", env.one_of("json", "console"))
    log_level: str = d.watch(
        "TDS_LOG_LEVEL", "text", "INFO", "The least grave line kept.", env.one_of("DEBUG", "INFO", "WARNING", "ERROR")
    )
    slow_seconds: float = d.watch(
        "TDS_SLOW_SECONDS",
        "seconds",
        5.0,
        "An operation that takes longer is flagged.",
        env.whole(0, 3600),
        settable=True,
    )
    metrics_port: int = d.watch(
        "TDS_METRICS_PORT", "integer", 0, "Where workers and the dispatcher serve /metrics; 0: nowhere.", d.NO_PORT
    )
    metrics_host: str = d.watch("TDS_METRICS_HOST", "text", "127.0.0.1", "On this address.")
    otlp_endpoint: str = d.watch(
        "TDS_OTLP_ENDPOINT", "text", "", "Where traces go: OTLP over HTTP, port 4318; unset: no traces.", d.ADDRESS
    )
    trace_percent: int = d.watch("TDS_TRACE_PERCENT", "integer", 100, "Share of traces kept.", env.whole(1, 100))
    flower_port: int = d.watch("TDS_FLOWER_PORT", "integer", 8801, "Port of Flower, on loopback.", d.PORT)
    flower_user: str = d.watch("TDS_FLOWER_USER", "text", "tds", "Login name of Flower.")
    flower_password: str = d.watch(
        "TDS_FLOWER_PASSWORD", "text", "", "Its password; unset: `tds up` makes one.", secret=True
    )

    zoho_data_center: str = d.zoho(
        "ZOHO_DATA_CENTER",
        "text",
        "us",
        "Where the organisation lives; elsewhere: set both URLs below.",
        env.one_of(*DATA_CENTERS),
    )
    zoho_accounts_url: str = d.zoho(
        "ZOHO_ACCOUNTS_URL", "text", "", "Zoho's login; unset: the data centre's.", d.ADDRESS
    )
    zoho_api_url: str = d.zoho("ZOHO_API_URL", "text", "", "Zoho's API; unset: the data centre's.", d.ADDRESS)
    zoho_client_id: str = d.zoho("ZOHO_CLIENT_ID", "text", "", "From api-console.zoho.com, your client.")
    zoho_client_secret: str = d.zoho(
        "ZOHO_CLIENT_SECRET", "text", "", "From api-console.zoho.com, your client.", secret=True
    )
    zoho_refresh_token: str = d.zoho(
        "ZOHO_REFRESH_TOKEN", "text", "", "From `tds zoho connect`, which can also keep it encrypted.", secret=True
    )
    zoho_organization_id: str = d.zoho(
        "ZOHO_ORGANIZATION_ID", "text", "", "In Zoho Books: Settings, Manage Organizations.",
        env.matching(r"\d{1,20}", "digits"),
    )  # fmt: skip
    zoho_webhook_secret: str = d.zoho(
        "ZOHO_WEBHOOK_SECRET", "text", "", "Signs webhooks. Make one: openssl rand -hex 24", d.ZOHO_SECRET, secret=True
    )
    zoho_webhook_secret_previous: str = d.zoho(
        "ZOHO_WEBHOOK_SECRET_PREVIOUS", "text", "", "Still accepted while rotating.", d.ZOHO_SECRET, secret=True
    )
    zoho_webhook_prefix: str = d.zoho(
        "ZOHO_WEBHOOK_PREFIX", "text", "TDS", "How the names of our webhooks in Zoho begin.", d.PREFIX
    )
    zoho_rule_types: str = d.zoho(
        "ZOHO_RULE_TYPES", "text", "add,edit,delete", "Zoho's words for rules on new, changed, deleted.", d.RULE_TYPES
    )
    http_timeout_seconds: float = d.zoho(
        "TDS_HTTP_TIMEOUT_SECONDS", "seconds", 30.0, "Longest wait for an answer of Zoho.", env.whole(1, 600)
    )
    http_connect_seconds: float = d.zoho(
        "TDS_HTTP_CONNECT_SECONDS", "seconds", 5.0, "Longest wait for a connection to Zoho.", env.whole(1, 600)
    )

    zoho_calls_per_minute: int = d.quota(
        "ZOHO_CALLS_PER_MINUTE", "integer", 100, "Zoho's limit for the organisation; 0: none.", d.CALLS, settable=True
    )
    zoho_books_calls_per_day: int = d.quota(
        "ZOHO_BOOKS_CALLS_PER_DAY",
        "integer",
        10_000,
        "By plan; a smaller one Zoho tells counts. 0: none.",
        d.CALLS,
        settable=True,
    )
    zoho_inventory_calls_per_day: int = d.quota(
        "ZOHO_INVENTORY_CALLS_PER_DAY", "integer", 10_000, "The same for Inventory.", d.CALLS, settable=True
    )
    zoho_concurrent_calls: int = d.quota(
        "ZOHO_CONCURRENT_CALLS",
        "integer",
        10,
        "Calls at once; Zoho's free plan allows 5. 0: no limit.",
        d.CALLS,
        settable=True,
    )
    zoho_quota_margin_percent: int = d.quota(
        "ZOHO_QUOTA_MARGIN_PERCENT",
        "integer",
        10,
        "Never used: room for others' calls.",
        env.whole(0, 90),
        settable=True,
    )
    zoho_reserved_live_percent: int = d.quota(
        "ZOHO_RESERVED_LIVE_PERCENT",
        "integer",
        10,
        "Kept for what webhooks announce, and stock.",
        d.SHARE,
        settable=True,
    )
    zoho_reserved_operator_percent: int = d.quota(
        "ZOHO_RESERVED_OPERATOR_PERCENT",
        "integer",
        5,
        "Kept beside it for what a person waits for.",
        d.SHARE,
        settable=True,
    )
    zoho_reserved_scheduled_percent: int = d.quota(
        "ZOHO_RESERVED_SCHEDULED_PERCENT",
        "integer",
        15,
        "Kept beside those for scheduled lists.",
        d.SHARE,
        settable=True,
    )
    zoho_quota_wait_seconds: float = d.quota(
        "ZOHO_QUOTA_WAIT_SECONDS",
        "seconds",
        5.0,
        "A longer wait for a call puts its work off.",
        env.whole(0, 60),
        settable=True,
    )
    zoho_quota_zone: str = d.quota(
        "ZOHO_QUOTA_ZONE", "text", "UTC", "Whose midnight begins a day, until Zoho tells it.", env.time_zone()
    )
    zoho_quota_processes: int = d.quota(
        "ZOHO_QUOTA_PROCESSES", "integer", 0, "Share the limits without Redis; 0: tasks of living workers.", d.CALLS
    )
    zoho_quota_speed: int = d.quota(
        "ZOHO_QUOTA_SPEED", "integer", 1, "How fast minutes and days go by; above 1 with a stand-in only.",
        env.whole(1, 10_000),
    )  # fmt: skip

    sources: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def require(self, *variables: str) -> None:
        """Raise `ConfigError` naming each of `variables` that is unset, with its meaning."""
        missing = [each for each in DECLARATIONS.values() if each.variable in variables and not self.value_of(each)]
        if missing:
            lines = [f"  {each.variable}: {each.meaning}" for each in missing]
            raise ConfigError("\n".join(["Needed here and not set (environment or .env):", *lines]))

    def value_of(self, declaration: env.Declaration) -> Any:
        """Return the value of one declared setting that is in force."""
        return getattr(self, _FIELDS[declaration.variable])

    def environment_value(self, declaration: env.Declaration) -> Any:
        """Return the value the environment gives one declared setting, whatever was changed since."""
        return self.__dict__[_FIELDS[declaration.variable]]

    def shown(self, variable: str) -> str:
        """Return a value for display: secrets as stars, addresses without password."""
        declaration = DECLARATIONS[variable]
        value = str(self.value_of(declaration))
        if declaration.secret and value:
            return without_password(value) if "://" in value else "********"
        return value

    def secrets(self) -> list[str]:
        """All secrets of this process, and the passwords in its addresses."""
        values = [str(self.value_of(each)) for each in DECLARATIONS.values() if each.secret]
        return [password_of(value) if "://" in value else value for value in values]

    def source_of(self, variable: str) -> str:
        """Return where the value came from: changed, environment, .env, secrets.json, running stack or default."""
        return "changed" if overrides.of(variable) else self.environment_source(variable)

    def environment_source(self, variable: str) -> str:
        """Return where the environment's value came from, whatever was changed since."""
        return self.sources.get(variable, "default")

    def replace(self, source: str, **values: Any) -> "Settings":
        """Return a copy with some fields set; `source`: where these came from."""
        variables = {field: variable for variable, field in _FIELDS.items()}
        sources = {**self.sources, **{variables[field]: source for field in values}}
        return Settings(**{**self.__dict__, **values, "sources": sources})

    def as_environ(self) -> dict[str, str]:
        """Return the environment that gives a child process the same settings."""
        stated = {
            name: self.environment_value(each)
            for name, each in DECLARATIONS.items()
            if self.environment_source(name) != "default"
        }
        return {name: "yes" if value is True else str(value) for name, value in stated.items() if value != ""}


_FIELDS = {
    field.metadata["declaration"].variable: field.name for field in dataclasses.fields(Settings) if field.metadata
}
DECLARATIONS: Mapping[str, env.Declaration] = {
    field.metadata["declaration"].variable: field.metadata["declaration"]
    for field in sorted(dataclasses.fields(Settings), key=lambda field: field.name not in Settings.__annotations__)
    if field.metadata
}
#: What operators may change at run time, by variable.
SETTABLE: Mapping[str, env.Declaration] = {name: each for name, each in DECLARATIONS.items() if each.is_settable}
for _variable, _declaration in SETTABLE.items():
    setattr(Settings, _FIELDS[_variable], SettableValue(_FIELDS[_variable], _declaration))


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read, check and complete all settings.

    Without `environ`: this process's environment, then .env, then the home directory. With it: only that.
    Raises ConfigError that names every wrong variable at once.
    """
    layers: Sequence[env.Layer] = (
        env.layers_of_this_process() if environ is None else [env.Layer("environment", environ)]
    )
    values, sources = env.read_values(list(DECLARATIONS.values()), layers)
    fields = {_FIELDS[variable]: value for variable, value in values.items()}
    if fields["heartbeat_seconds"] * 2 > fields["lease_seconds"]:
        raise ConfigError("TDS_HEARTBEAT_SECONDS must be at most half of TDS_LEASE_SECONDS, or claims expire in use.")
    accounts_url, api_url = DATA_CENTERS[fields["zoho_data_center"]]
    fields["zoho_accounts_url"] = (fields["zoho_accounts_url"] or accounts_url).rstrip("/")
    fields["zoho_api_url"] = (fields["zoho_api_url"] or api_url).rstrip("/")
    if fields["zoho_quota_speed"] > 1 and fields["zoho_api_url"] in {url for _, url in DATA_CENTERS.values()}:
        raise ConfigError("ZOHO_QUOTA_SPEED above 1 is for a stand-in of the same speed: Zoho has no other minutes.")
    for name in ("database_url", "migration_database_url", "replica_url"):
        fields[name] = with_driver(fields[name])
    fields["broker_url"] = fields["broker_url"] or fields["redis_url"]
    fields["home"] = Path(fields["home"]).expanduser().absolute()
    return Settings(**fields, sources=sources)
