"""Causes: the rules whose alerts explain others. A cause is at least as severe as what it mutes.

Else a channel that takes only what is critical, or keeps quiet hours, would hear of neither.
"""

#: What keeps processes from doing work; all critical.
PROCESS_CAUSES = ("redis_lost", "dispatcher_silent", "no_worker", "schema_outdated")
#: What keeps all of the source from being read; all critical.
SOURCE_CAUSES = ("zoho_refused", "source_certificate", "quota_spent")
#: What keeps a part of it from being read: of alerts that are no worse than an error.
PARTIAL_CAUSES = (*SOURCE_CAUSES, "breaker_open")
#: What slows everything down as well: of alerts that are warnings.
SLOWING_CAUSES = (*PARTIAL_CAUSES, "rate_limited", "queue_unheard")
