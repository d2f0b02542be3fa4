"""Causes: the rules whose alerts explain others, by what they are about."""

#: What keeps processes from doing work.
PROCESS_CAUSES = ("redis_lost", "dispatcher_silent", "no_worker", "schema_outdated")
#: What keeps the source from answering.
SOURCE_CAUSES = ("zoho_refused", "source_certificate", "breaker_open", "quota_spent", "rate_limited")
