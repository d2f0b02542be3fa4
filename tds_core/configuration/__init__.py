"""Configuration: settings that operators change while TDS runs, in versions."""
