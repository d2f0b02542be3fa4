"""Rehearsal of a migration: the four weeks from an old cron job to TDS, in minutes, with the stand-in as Zoho."""
