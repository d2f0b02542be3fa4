"""Marks on time axes: the alerts that fired and the deployments, read once for all charts of a page."""

from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.charts import Mark
from tds_api.pages.common.i18n import gettext


def read_time_marks(api: ApiClient) -> dict[str, Answer]:
    """The parts of a page that its marks are made of."""
    return {
        "alerts": api.get("alerts/history", limit=200),
        "deployments": api.get("statistics/deployments", limit=50),
    }


def time_marks(alerts: Answer, deployments: Answer) -> list[Mark]:
    """The moments at which alerts fired, and at which another version began to run."""
    fired = [
        Mark(
            each["at"], f"{each['rule']} {each['subject']}".strip(), "bad" if each["severity"] == "critical" else "warn"
        )
        for each in alerts.items
        if each["to_state"] == "firing"
    ]
    return fired + [
        Mark(each["began_at"], gettext("deployed: %(version)s") % {"version": each["version"]}, "deployed")
        for each in deployments.items
    ]
