"""Parcels: events in hand, with all that sending them takes."""

from dataclasses import dataclass

from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.outbound.events import body_of, message_id
from tds_core.outbound.lanes import Receiver, Sending


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event ready to be signed and sent, until `until` by this process's clock; `error`: it cannot be."""

    sending: Sending
    url: str
    secrets: tuple[str, ...]
    message_id: str
    body: bytes
    until: float
    error: str = ""


def pack(sending: Sending, receiver: Receiver, vault: Vault, *, until: float) -> Parcel:
    """An event in hand, ready to go out."""
    name = message_id(receiver.message_key, sending.entry_id, replay=sending.replay)
    if sending.entry is None:
        return Parcel(sending, receiver.url, (), name, b"", until, "the history no longer has this change")
    try:
        secrets = tuple(vault.open(each) or "" for each in receiver.locked)
    except ConfigError as error:
        return Parcel(sending, receiver.url, (), name, b"", until, str(error))
    return Parcel(sending, receiver.url, secrets, name, body_of(sending.entry, fields=receiver.fields), until)
