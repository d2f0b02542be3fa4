"""One call to Zoho before it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tds_core.sources.base import Traffic


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call: `path` of an API with parameters and body. `group` names the module it is counted under.

    `source_id`: the record, if it concerns one. `is_list`: it reads the module's list, whose path may differ.
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
