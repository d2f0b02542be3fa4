"""One call to Zoho, as it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tds_core.sources.base import Traffic


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call: `path` of an API, and what is sent along; it is counted under `group`, which names the module.

    `source_id`: the record it is about, where it is about one. `is_list`: it asks for the module's list, which may have
    another path.
    """

    api: str
    group: str
    path: str
    parameters: Mapping[str, str]
    traffic: Traffic
    method: str = "GET"
    body: Mapping[str, Any] | None = None
    source_id: str = ""
    is_list: bool = False
