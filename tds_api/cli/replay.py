"""`tds replay`: replays one webhook event."""

import typer

from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import say, say_json
from tds_api.cli.common.remote_api import remote
from tds_core.inbox import replay as core
from tds_core.sources.zoho.webhooks.parser import parse_again


def replay(
    event: int = typer.Argument(help="The number of the event, as `tds explain` tells it."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Take an event in again, as if its webhook had just come; one that was not understood is read anew.

    An old body never replaces newer content: what becomes of it is the new event's verdict.
    """
    if api := remote():
        replayed = api.post(f"/zoho/webhooks/{event}/replay")
    else:
        with acting("webhooks.replay", event) as session:
            new_id, entity = core.replay(session, event, parse=parse_again)
        replayed = {"event_id": str(new_id), "replay_of": str(event), "entity": entity}
    if as_json:
        say_json(replayed)
        return
    say(f"Event {event} came again as event {replayed['event_id']}; workers take it within a second.")
