"""The import graph of the product: which file imports which, and a cycle in it, if there is one."""

import ast
import graphlib
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from tests.house.code import Module, modules

Graph = Mapping[str, Collection[str]]


def dotted(path: str) -> str:
    """`tds_core/queue/items.py` -> `tds_core.queue.items`; a package is called by its folder."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def import_graph() -> dict[str, frozenset[str]]:
    """Every module of the product by its dotted name, with the modules it imports, also inside functions."""
    by_name = {dotted(module.name): module for module in modules()}
    return {name: frozenset(_imported(module, by_name)) - {name} for name, module in by_name.items()}


def _imported(module: Module, known: Collection[str]) -> Iterable[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module


def graph_inside(package: str, graph: Graph) -> dict[str, set[str]]:
    """`graph` between the children of one package: its files, and its folders with all that is in them."""
    depth = package.count(".") + 2
    child = {name: ".".join(name.split(".")[:depth]) for name in graph if name.startswith(f"{package}.")}
    inside: dict[str, set[str]] = {}
    for name, own in child.items():
        inside.setdefault(own, set()).update(child[each] for each in graph[name] if child.get(each, own) != own)
    return inside


def cycle_in(graph: Graph) -> list[str]:
    """The nodes of one cycle, the first of them twice; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []
