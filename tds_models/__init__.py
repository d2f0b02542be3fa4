"""WHAT things are: tables, states and entity declarations."""
