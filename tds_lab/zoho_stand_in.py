"""The Zoho stand-in of demo and chaos: its size, webhook rules and faults, its program, and its HTTP controls."""

import dataclasses
import json
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import requests
import typer

from tds_local.programs import answering
from tds_local.supervisor import Program

#: The modules that Zoho's workflow rules support; the rest have no webhooks.
ENTITY_OF_MODULE = {
    "item": "product",
    "customer": "customer",
    "vendor": "vendor",
    "salesorder": "sales_order",
    "invoice": "invoice",
    "customerpayment": "customer_payment",
    "bill": "bill",
    "creditnote": "credit_note",
    "inventoryadjustment": "stock_adjustment",
}
EVENT_OF_RULE = {"created": "created", "edited": "updated", "deleted": "deleted"}

# Chances, each drawn anew for every change; what stale and dropped webhooks leave wrong only the hourly read can mend.
# A forger who knocks every two minutes is shown refused and is no cause for an alert, at any rate of changes.
FAULTS = {
    "duplicate": 0.05,
    "reorder": 0.03,
    "stale": 0.02,
    "partial": 0.05,
    "forge": 0.02,
    "forge_gap_seconds": 120.0,
    "delay_seconds": [0.0, 0.3],
    "reorder_hold_seconds": 2.0,
}


def rules(webhooks_url: str, secret: str) -> Iterator[dict[str, Any]]:
    """One rule for each module and event; some with parameters, which a signature covers too."""
    for module, entity in ENTITY_OF_MODULE.items():
        for happened, event in EVENT_OF_RULE.items():
            with_parameters = module in ("customer", "invoice")
            yield {
                "module": module,
                "event": happened,
                "url": f"{webhooks_url}/{entity}/{event}",
                "secret": secret,
                "query": {"organization": "Two Rivers", "rule": f"{module} {happened}"} if with_parameters else {},
            }


def faults(drop: float) -> dict[str, Any]:
    """The faults of a demo that loses this share of its webhooks."""
    return {**FAULTS, "drop": drop}


#: The stand-in's options for its size, and the entity each of them makes.
ENTITY_OF: Mapping[str, str] = {
    "products": "product",
    "customers": "customer",
    "vendors": "vendor",
    "price-lists": "price_list",
    "users": "user",
    "locations": "location",
    "orders": "sales_order",
    "invoices": "invoice",
    "payments": "customer_payment",
    "bills": "bill",
    "credit-notes": "credit_note",
    "adjustments": "stock_adjustment",
}
_COMPANY = {
    "products": 2221, "customers": 2503, "vendors": 81, "price-lists": 7, "prices": 7825, "users": 12, "locations": 3,
}  # fmt: skip
SIZES: Mapping[str, Mapping[str, int]] = {
    "small": {
        "products": 60, "customers": 30, "vendors": 5, "price-lists": 3, "prices": 60, "users": 4, "locations": 3,
        "orders": 12, "invoices": 10, "payments": 8, "bills": 6, "credit-notes": 4, "adjustments": 4,
    },
    "usual": {
        **_COMPANY,
        "orders": 300, "invoices": 400, "payments": 250, "bills": 120, "credit-notes": 60, "adjustments": 80,
    },
    "full": {
        **_COMPANY,
        "orders": 3000, "invoices": 2800, "payments": 2000, "bills": 600, "credit-notes": 150, "adjustments": 200,
    },
}  # fmt: skip


def counts_of(size: str, changes: Sequence[str]) -> dict[str, int]:
    """The counts of a size, some of them changed (`products=100000`). Raises `typer.BadParameter`."""
    if size not in SIZES:
        raise typer.BadParameter(f"no size {size!r}; there are {', '.join(SIZES)}", param_hint="--size")
    counts = dict(SIZES[size])
    for change in changes:
        name, _, count = change.partition("=")
        if name not in counts or not count.isdecimal():
            raise typer.BadParameter(
                f"{change!r} is not NAME=COUNT; names are {', '.join(counts)}", param_hint="--records"
            )
        counts[name] = int(count)
    return counts


def expected_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """How many records of each entity a stand-in of this size holds at first; stock levels are the products'."""
    found = {entity: counts[name] for name, entity in ENTITY_OF.items() if counts[name]}
    return {**found, "stock_level": counts["products"]}


TIMEOUT_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StandInSpec:
    """Where a stand-in shall listen, how large it is, and who may log in. Its limits are lifted."""

    port: int
    counts: Mapping[str, int]
    seed: int
    organization_id: str = "876543210"
    client_id: str = "1000.TDSDEMO"
    client_secret: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16), repr=False)
    refresh_token: str = dataclasses.field(default_factory=lambda: f"1000.{secrets.token_hex(16)}", repr=False)

    @property
    def url(self) -> str:
        """The address of its API, its login and its controls."""
        return f"http://127.0.0.1:{self.port}"

    def program(self) -> Program:
        """The stand-in as a program of the stack."""
        options = {
            "port": self.port,
            "seed": self.seed,
            "organization-id": self.organization_id,
            "client-id": self.client_id,
            "client-secret": self.client_secret,
            "refresh-token": self.refresh_token,
            "calls-per-minute": 0,
            "calls-per-day": 0,
            "token-refreshes": 0,
            "webhooks-per-day": 0,
            **self.counts,
        }
        argv = [sys.executable, "-m", "zoho_sandbox", *(f"--{name}={value}" for name, value in options.items())]
        return Program(name="zoho-stand-in", argv=argv, is_ready=answering(f"{self.url}/_control/state"))


class StandIn:
    """The controls of a running stand-in. Raises `requests.RequestException` when it does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def state(self) -> dict[str, Any]:
        """Everything it counts: records, calls, deliveries, edits."""
        return self._ask("GET", "/state")

    def set_rules(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Send webhooks of changes to these addresses."""
        self._ask("POST", "/webhooks", list(rules))

    def set_faults(self, faults: Mapping[str, Any]) -> None:
        """Set how often webhooks go wrong; under `api`, calls."""
        self._ask("POST", "/faults", faults)

    def begin_outage(self, kind: str, seconds: float) -> None:
        """Have every call fail in this way for so long."""
        self._ask("POST", "/outage", {"kind": kind, "seconds": seconds})

    def revoke_tokens(self) -> None:
        """End every access token."""
        self._ask("POST", "/revoke-tokens")

    def start_edits(self, *, rate: float, seed: int) -> None:
        """Edit `rate` times a second until stopped."""
        self._ask("POST", "/edits/start", {"rate_per_second": rate, "seed": seed})

    def stop_edits(self) -> int:
        """Stop editing; returns how many edits there were."""
        return int(self._ask("POST", "/edits/stop")["edit_count"])

    def flush(self, seconds: float) -> int:
        """Send what is held back and wait until nothing is on its way; returns how many deliveries still are."""
        answer = self._session.post(
            f"{self.url}/_control/flush", json={"timeout_seconds": seconds}, timeout=seconds + TIMEOUT_SECONDS
        )
        return int(answer.json()["pending_count"])

    def dump(self, plural: str) -> Iterator[dict[str, Any]]:
        """Every living record in full; numbers with a fraction as `Decimal`."""
        with self._session.get(f"{self.url}/_control/dump/{plural}", stream=True, timeout=TIMEOUT_SECONDS) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines(chunk_size=1 << 16):
                yield json.loads(line, parse_float=Decimal)

    def deleted(self, plural: str) -> list[str]:
        """The ids of the records that are gone."""
        return list(self._ask("GET", f"/deleted/{plural}")["ids"])

    def token(self) -> str:
        """A token that works and that no limit counts."""
        return str(self._ask("POST", "/tokens")["access_token"])

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self._session.request(method, f"{self.url}/_control{path}", json=body, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()


def call_count(state: Mapping[str, Any]) -> int:
    """How many API calls the stand-in has answered."""
    return sum(count for statuses in state["api_calls"].values() for count in statuses.values())
