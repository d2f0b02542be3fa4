"""What one sandbox is started with: its size, its credentials and Zoho's limits, which hold unless raised."""

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Start values of a sandbox; the control interface can change limits and faults while it runs.

    A limit of 0 means "no limit". Times are seconds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 7
    products: int = 2221
    customers: int = 2503
    vendors: int = 81
    invoices: int = 2800
    orders: int = 3000
    payments: int = 2000
    bills: int = 600
    credit_notes: int = 150
    adjustments: int = 200
    price_lists: int = 7
    prices: int = 7825
    users: int = 12
    locations: int = 3
    organization_id: str = "876543210"
    organization_name: str = "Two Rivers Wholesale"
    currency_code: str = "USD"
    timezone: str = "+0300"
    client_id: str = "1000.SANDBOXCLIENT"
    client_secret: str = "sandbox-client-secret"  # noqa: S105 - a stand-in's credentials are public
    refresh_token: str = "1000.sandbox.refresh"  # noqa: S105
    calls_per_minute: int = 100
    calls_per_day: int = 10_000
    concurrent_calls: int = 10
    token_refreshes: int = 10
    token_seconds: int = 3600
    # Whether a token answer lists the scopes that were granted.
    token_scope: bool = True
    webhooks_per_day: int = 1000
    # How fast the windows of calls a minute and a day, and of webhooks a day, go by.
    window_speed: float = 1.0
    rate_limit_headers: bool = True
    default_filter: str = "Status.All"
    # Whether Inventory's lists heed `last_modified_time` where no document says so, and the keys around the webhook
    # bodies of payments and adjustments: nobody outside knows, so each can be had either way.
    undocumented_filters: bool = False
    payment_wrapper: str = "payment"
    adjustment_wrapper: str = "inventory_adjustment"
    # Places as organisations have them that were not moved to locations: `warehouses`, `warehouse_id` and so on.
    warehouses: bool = False
    # What they answer to `/locations`: no rows, or that there is no such address; nobody outside knows which.
    warehouses_know_locations: bool = True
    # Keys that no description lists, though the module would be nothing without them (`entities/doors.py`).
    undescribed_keys: bool = True
    # Whether details show own fields as an object, too; of some modules nobody outside saw more than the list of them.
    custom_field_hash: bool = True
    as_of: str = ""
    edits_per_second: float = 0.0
    webhook_senders: int = 8
    blocking_threads: int = 16
    url: str = ""
