"""The grain of the house: small files that each say what they are, short functions, honest names."""

import ast
import re

from tests.house.code import Module, body_length, modules, offenders

BANNED = re.compile(r"(^|_)(manager|helper|util|utils|handler|processor|service|data|info)(_|$)")
# Words of others: Zoho's data centres and its call `serverinfo`, the hook of apispec.
GIVEN_WORDS = re.compile(r"data_centers?|server_info|operation_helper|schema_helper")
VAGUE = re.compile(r"(^|_)(ts|timestamp|datetime|secs|millis|num|cnt)$")


def spoken(name: str) -> str:
    """`ZohoDataReader` and `zoho_data_reader` in one spelling."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_files_are_small() -> None:
    sizes = [module.line_count for module in modules() if module.line_count > 1]
    assert max(sizes) <= 400
    assert sum(size < 250 for size in sizes) >= 0.9 * len(sizes)


def test_every_module_opens_with_one_sentence_saying_what_it_is() -> None:
    def missing_keys(module: Module) -> str | None:
        first = (ast.get_docstring(module.tree) or "").split("\n\n")[0].rstrip()
        return None if len(first) > 15 and first.endswith((".", ":", "!")) else first or "no docstring"

    assert offenders(missing_keys) == {}


def test_functions_are_short() -> None:
    assert offenders(lambda module: [f.name for f in module.functions() if body_length(f) >= 40]) == {}


def test_names_say_what_a_thing_is() -> None:
    def empty_names(module: Module) -> list[str]:
        nodes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        names = [*(node.name for node in nodes), *module.name.removesuffix(".py").split("/")]
        return [name for name in names if BANNED.search(GIVEN_WORDS.sub("", spoken(name)))]

    assert offenders(empty_names) == {}


def test_what_the_core_offers_is_explained() -> None:
    def unexplained(module: Module) -> list[str]:
        kinds = ast.FunctionDef | ast.ClassDef
        public = [node for node in module.tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
        return [node.name for node in public if not ast.get_docstring(node)]

    assert offenders(unexplained, "tds_models", "tds_core", "tds_tasks") == {}


def test_times_durations_and_counts_say_their_unit() -> None:
    def vague(module: Module) -> list[str]:
        fields = [node.target for node in ast.walk(module.tree) if isinstance(node, ast.AnnAssign)]
        return [field.id for field in fields if isinstance(field, ast.Name) and VAGUE.search(field.id)]

    assert offenders(vague) == {}
