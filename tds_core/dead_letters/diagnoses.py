"""Diagnoses of dead letters: a table of known causes, with what each failure means and what to do about it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a failure means, what to do about it, and whether a retry alone may help. `cause` is for programs."""

    cause: str
    says: str
    fix: str
    retry_helps: bool


@dataclass(frozen=True, slots=True)
class DiagnosisCause:
    """A kind of failure, known by its error class and its message (both searched for, anywhere in the text).

    The named groups of `message` may be used in `says` and `fix`.
    """

    name: str
    error_class: str
    message: str
    says: str
    fix: str
    retry_helps: bool = False


_EDIT = (
    "Correct it in Zoho and retry; or, if Zoho must keep it, edit the letter's record and retry: tds dead-letter edit"
)
_FIELD = r"(?:^|; )(?P<field>[\w.\[\]-]+): "

#: The first match counts, so special causes stand before general ones.
CAUSES = (
    DiagnosisCause(
        "foreign_event_loop", r"^foreign$", r"greenlet_spawn has not been called",
        "The previous system called its asynchronous database driver outside of its event loop. It failed before it "
        "looked at the record, so nothing is wrong with the record.",
        "Retry the whole group: TDS reads each record from Zoho as it stands now.", retry_helps=True,
    ),
    DiagnosisCause(
        "foreign", r"^foreign$", r"",
        "Given up by the system it was imported from, for a reason TDS has no experience with.",
        "Retry one of the group; when it ends well, retry the group.", retry_helps=True,
    ),
    DiagnosisCause(
        "poison", r"^crashed$", r"",
        "The worker died while it held this record, more than once. It is tried on no other worker by itself.",
        "Look for the worker's last lines (memory, a signal) by the correlation id, then retry this one alone.",
    ),
    DiagnosisCause(
        "negative_amount", r"^validation$", rf"{_FIELD}(?P<value>\S+) is less than (?P<least>\S+)",
        "{field} is {value}; an earlier version of TDS took nothing below {least} there.",
        "Retry: it is stored as it is now, with a finding.", retry_helps=True,
    ),
    DiagnosisCause(
        "missing_field", r"^validation$", rf"{_FIELD}required, but empty",
        "{field} is empty; only an id must not be. An earlier version of TDS asked for more.",
        "Retry; if it is the id that is empty, correct the record in Zoho first.", retry_helps=True,
    ),
    DiagnosisCause(
        "wrong_kind", r"^validation$", r"(?P<field>\w+): is (?P<value>.+), a (?P<entity>\w+) has",
        "The id belongs to another kind of record: {field} is {value}.",
        "Resolve it; the record is mirrored under its own kind.",
    ),
    DiagnosisCause(
        "nul_character", r"^validation$", r"NUL character",
        "A text holds a NUL character, which PostgreSQL cannot store.",
        "Remove the character in Zoho (it is invisible: type the text anew) and retry.",
    ),
    DiagnosisCause(
        "database_refused", r"^validation$", r"the database refused it: (?P<reason>.+)",
        "The database's own rules refused the record: {reason}", _EDIT,
    ),
    DiagnosisCause(
        "unreadable_value", r"^validation$", rf"{_FIELD}(?P<reason>expected|number out|time|contains)",
        "The value of {field} is not of the kind TDS expects there; an earlier version refused the record for it.",
        "Retry: the record goes in now, without the value and with a finding.", retry_helps=True,
    ),
    DiagnosisCause("invalid_record", r"^validation$", r"", "The record breaks a rule of its entity.", _EDIT),
    DiagnosisCause(
        "scope_missing", r"^(auth_failed|permanent|token_refused)$", r"code 57\b|[Nn]ot authorized|scope",
        "Zoho lets TDS in, but not to this kind of record: the connection lacks a right.",
        "Connect again with all rights (tds zoho connect), check with tds zoho status, then retry the group.",
        retry_helps=True,
    ),
    DiagnosisCause(
        "access", r"^(auth_failed|token_refused)$", r"",
        "Zoho did not let TDS in.", "Mend the connection (tds zoho status), then retry the group.", retry_helps=True,
    ),
    DiagnosisCause(
        "contract_broken", r"^contract_broken$", r"",
        "Zoho answered in a shape TDS does not know, or no longer knows this address.",
        "Retry one; if it fails again, the declaration of the entity needs a change: do not retry the group before.",
    ),
    DiagnosisCause(
        "answer_too_large", r"^answer_too_large$", r"",
        "Zoho's answer for this one record is larger than TDS takes.",
        "Look in Zoho what makes it so large (lines, notes, attachments told in full), make it smaller, then retry.",
    ),
    DiagnosisCause(
        "unexpected_answer", r"^unexpected_answer$", r"",
        "Zoho, or something on the way to it, answered without an error, but with something else than was asked for.",
        "Retry one; if it fails again, open the record in Zoho: it may have been merged with another.",
        retry_helps=True,
    ),
    DiagnosisCause(
        "value_refused", r"^permanent$", r"code (2|1038|15)\b",
        "Zoho refused the question: it takes the id for an invalid value.",
        "Look at the id: it may belong to another organisation. Resolve the letter if nothing is known by it.",
    ),
    DiagnosisCause(
        "not_allowed", r"^permanent$", r"HTTP (401|403|405)",
        "Zoho refused the question to this user or in this plan.",
        "Check the connected user's role in Zoho and the plan's modules, then retry the group.", retry_helps=True,
    ),
    DiagnosisCause(
        "refused", r"^permanent$", r"(?:HTTP (?P<status>\d+), )?code (?P<code>-?\d+)",
        "Zoho refused the question with its code {code}.",
        "Open the record in Zoho; retry one of the group when it can be opened there.",
    ),
    DiagnosisCause(
        "outlasted", r"^(transient|source_error)$", r"",
        "Zoho gave no good answer for this record in all the attempts, while it answered others.",
        "Retry: such faults pass. If the same records fail again, open one of them in Zoho.", retry_helps=True,
    ),
    DiagnosisCause(
        "overtaken", r"^overtaken$", r"",
        "The record changed each time it was being read.", "Retry when it is quiet.", retry_helps=True,
    ),
    DiagnosisCause(
        "fault_of_tds", r"^[A-Z]\w+$", r"",
        "A fault of TDS itself, not of the record.",
        "Look up the letter's correlation id in the log, update TDS, then retry the group.",
    ),
)  # fmt: skip

UNKNOWN = Diagnosis(
    "unknown",
    "TDS does not know this failure.",
    "Read the message; retry one of the group and see whether it fails again.",
    retry_helps=False,
)


def diagnose(error_class: str, message: str) -> Diagnosis:
    """The diagnosis of a failure; UNKNOWN where no cause matches."""
    for cause in CAUSES:
        match = re.search(cause.message, message) if re.search(cause.error_class, error_class) else None
        if match:
            groups = {name: value or "" for name, value in match.groupdict().items()}
            return Diagnosis(cause.name, cause.says.format(**groups), cause.fix.format(**groups), cause.retry_helps)
    return UNKNOWN
