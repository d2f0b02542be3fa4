"""The product's own source, read as text and as trees, for the rules of the house."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import tds_core

ROOT = Path(tds_core.__file__).parent.parent
PACKAGES = ("tds_models", "tds_core", "tds_tasks", "tds_local", "tds_api", "tds_lab", "zoho_sandbox")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file. `name` is its path inside the repository."""

    name: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.name)

    @cached_property
    def line_count(self) -> int:
        return len(self.source.splitlines())

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def calls(self) -> Iterator[tuple[str, int]]:
        """Every call by its dotted name, with its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node.lineno

    def imports(self) -> Iterator[str]:
        """Every imported name, dotted."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def body_length(function: Function) -> int:
    """Lines of a function's own: without its signature, its docstring and the functions inside it."""
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    own = (body[-1].end_lineno or 0) - body[0].lineno + 1
    inner = [node for node in body if isinstance(node, Function)]
    return own - sum((node.end_lineno or 0) - node.lineno + 1 for node in inner)


@cache
def modules(*packages: str) -> tuple[Module, ...]:
    """The modules of the given packages; of all when none is given."""
    paths = (path for package in packages or PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return tuple(Module(str(path.relative_to(ROOT)), path.read_text()) for path in paths)


def offenders(rule: Callable[[Module], object], *packages: str) -> dict[str, object]:
    """What `rule` finds wrong, by module; nothing when the house is in order."""
    found = {module.name: rule(module) for module in modules(*packages)}
    return {name: wrong for name, wrong in found.items() if wrong}
