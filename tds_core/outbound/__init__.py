"""Outbound change events: who subscribed hears of every change of the mirror once it is committed."""
