"""The funnel: inbox, queue, apply, runs. Every door into the mirror leads through here."""
