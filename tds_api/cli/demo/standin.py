"""The Zoho stand-in as the demo sees it: a program to start, and its control interface over HTTP."""

import dataclasses
import json
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import requests

from tds_api.cli.processes import Program
from tds_api.cli.programs import answering

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
        """Have changes told to these addresses."""
        self._ask("POST", "/webhooks", list(rules))

    def set_faults(self, faults: Mapping[str, Any]) -> None:
        """Have webhooks go wrong this often; under `api`, calls."""
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
        return answer.json()  # type: ignore[no-any-return]


def call_count(state: Mapping[str, Any]) -> int:
    """How many API calls the stand-in has answered."""
    return sum(count for statuses in state["api_calls"].values() for count in statuses.values())
