"""Channels: where messages of alerts are sent, of which kinds, with their secrets encrypted."""
