"""Imports point one way: no file, and in no package a folder, imports itself by way of others."""

from pathlib import Path

from tests.house.code import modules
from tests.house.import_graph import cycle_in, graph_inside, import_graph


def test_a_cycle_is_found_where_there_is_one() -> None:
    assert set(cycle_in({"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": [], "e": ["a"]})) == {"a", "b", "c"}
    assert cycle_in({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_a_package_is_what_is_in_it() -> None:
    graph = {"p.low.x": [], "p.high.y": ["p.low.x"], "p.low.z": ["p.high.y"]}
    assert cycle_in(graph) == []
    assert set(cycle_in(graph_inside("p", graph))) == {"p.low", "p.high"}


def test_the_graph_holds_the_imports_there_are() -> None:
    graph = import_graph()
    assert "tds_core.records.compare" in graph["tds_core.records.apply"]
    assert sum(len(imported) for imported in graph.values()) > 1000


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert cycle_in(import_graph()) == []


def test_no_package_has_a_cycle_inside() -> None:
    packages = {str(folder).replace("/", ".") for module in modules() for folder in Path(module.name).parents[:-1]}
    found = {package: cycle_in(graph_inside(package, import_graph())) for package in packages}
    assert {package: cycle for package, cycle in found.items() if cycle} == {}
