"""Of a record that differs, people see what differs, and no more than they can read."""

from typing import Any

from tds_api.cli.comparison.views import MOST_VALUES, _record_rows


def shown(*fields: dict[str, Any]) -> list[tuple[str, str, str]]:
    difference: Any = {
        "entity": "price_list", "source_id": "1", "kind": "different", "state": "confirmed", "fields": list(fields),
        "explanation": "why", "suspected_for": None, "since": None,
    }  # fmt: skip
    return [row[2:5] for row in _record_rows(difference)]


def line(position: int, **more: Any) -> dict[str, Any]:
    return {"position": position, "line_id": str(position), **more}


def test_a_line_that_is_gone_is_one_line_however_many_follow_it() -> None:
    here = [line(n, price=str(n)) for n in range(100)]
    there = [{**each, "position": n} for n, each in enumerate(each for each in here if each["line_id"] != "3")]
    [(place, ours, theirs)] = shown({"field": "prices", "here": here, "there": there})
    assert (place, theirs) == ("prices[4]", "nothing")
    assert '"price":"3"' in ours


def test_a_value_of_a_line_is_named_with_its_place() -> None:
    here, there = [line(0, price="1"), line(1, price="2")], [line(0, price="1"), line(1, price="3")]
    assert shown({"field": "prices", "here": here, "there": there}) == [("prices[2].price", '"2"', '"3"')]


def test_lines_without_ids_are_compared_by_their_place() -> None:
    here, there = [{"position": 0, "line_id": None, "n": 1}], [{"position": 0, "line_id": None, "n": 2}]
    assert shown({"field": "lines", "here": here, "there": there}) == [("lines[1].n", "1", "2")]


def test_lines_in_another_order_are_named_as_that() -> None:
    here = [line(0), line(1)]
    assert shown(
        {"field": "lines", "here": here, "there": [{**here[1], "position": 0}, {**here[0], "position": 1}]}
    ) == [("the order of lines", "", "")]


def test_of_many_values_the_rest_is_counted() -> None:
    rows = shown(*({"field": f"f{n}", "here": n, "there": n + 1} for n in range(MOST_VALUES + 5)))
    assert len(rows) == MOST_VALUES + 1
    assert rows[-1][0].startswith("and 5 more")
