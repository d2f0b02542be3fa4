"""Validation: which records of the mirror break the rules declared with their entity, and what to do about each."""
