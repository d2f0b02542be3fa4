"""What is known of a failure is said with the next step; of an unknown one it is said that it is unknown."""

import pytest

from tds_core.dead_letters.diagnoses import CAUSES, UNKNOWN, diagnose

EXAMPLES = {
    "foreign_event_loop": ("foreign", "greenlet_spawn has not been called; can't call await_only() here"),
    "foreign": ("foreign", "KeyError: 'item'"),
    "poison": ("crashed", "its worker died 2 times while holding this record"),
    "negative_amount": ("validation", "rate: -4 is less than 0"),
    "missing_field": ("validation", "name: required, but empty"),
    "wrong_kind": ("validation", "contact_type: is 'vendor', a customer has 'customer'"),
    "nul_character": ("validation", "contains a NUL character, which PostgreSQL cannot store"),
    "database_refused": ("validation", "the database refused it: numeric field overflow"),
    "unreadable_value": ("validation", "line_items[0].quantity: expected a number, got 'many'"),
    "invalid_record": ("validation", "not a JSON record: malformed"),
    "scope_missing": ("permanent", "HTTP 401, code 57: You are not authorized to perform this operation"),
    "access": ("auth_failed", "not connected"),
    "contract_broken": ("contract_broken", "HTTP 404, code 5: Invalid URL Passed"),
    "answer_too_large": ("answer_too_large", "invoices/1: the answer is larger than 64 MiB; TDS reads no more"),
    "unexpected_answer": ("unexpected_answer", "asked for item 1, was answered with 2: neither was touched"),
    "value_refused": ("permanent", "HTTP 400, code 2: Invalid value passed for item_id"),
    "not_allowed": ("permanent", "HTTP 403, code 9: no"),
    "refused": ("permanent", "HTTP 400, code 9011: no"),
    "outlasted": ("transient", "HTTP 503, code -1: "),
    "overtaken": ("overtaken", "changed while it was being read"),
    "fault_of_tds": ("ZeroDivisionError", "division by zero"),
}


def test_every_known_cause_has_an_example() -> None:
    assert list(EXAMPLES) == [cause.name for cause in CAUSES]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_known_cause_is_recognised_and_says_what_to_do(name: str) -> None:
    found = diagnose(*EXAMPLES[name])
    assert found.cause == name
    assert found.says.endswith(".") or ": " in found.says
    assert "{" not in found.says + found.fix


def test_the_diagnosis_names_the_field_and_the_value() -> None:
    assert diagnose("validation", "name: required, but empty; rate: -4 is less than 0").says.startswith("rate is -4")
    assert diagnose("permanent", "HTTP 400, code 9011: no").says == "Zoho refused the question with its code 9011."


def test_an_unknown_failure_is_called_unknown() -> None:
    assert diagnose("odd", "never seen") == UNKNOWN
