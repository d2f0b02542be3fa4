"""Commands of alerts: the alerts themselves, silences, rules and channels."""
