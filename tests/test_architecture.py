"""The house rules that only reading the source can hold: who imports whom, and what nobody does."""

import ast
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Imports:
    """Files under `where` import no module of `never` except what `allowed` names."""

    where: str
    never: tuple[str, ...]
    allowed: tuple[str, ...] = ()


UPPER = ("aesm2.training", "aesm2.routing", "aesm2.plots", "aesm2.cli")
DRAWING = ("aesm2.plots", "aesm2.cli")
IMPORTS = (
    Imports("aesm2", ("streamlit", "app")),
    Imports("aesm2/errors.py", ("aesm2",)),
    Imports("aesm2/config.py", ("aesm2",), allowed=("aesm2.errors",)),
    Imports("aesm2/layers", ("aesm2.models", "aesm2.data", "aesm2.losses", *UPPER)),
    Imports("aesm2/data", ("aesm2.models", *UPPER)),
    Imports("aesm2/prepare", ("aesm2.layers", "aesm2.models", *UPPER)),
    Imports("aesm2/simulation", ("aesm2.models", *UPPER)),
    Imports("aesm2/models", UPPER),
    Imports("aesm2/losses.py", UPPER),
    Imports("aesm2/metrics.py", ("aesm2",)),
    Imports("aesm2/training", DRAWING),
    Imports("aesm2/checkpoint.py", DRAWING),
    Imports("aesm2/routing", DRAWING),
    Imports("aesm2/attribution", DRAWING),
    Imports("aesm2/evidence", DRAWING),
    Imports("aesm2/slices", DRAWING),
    Imports("aesm2/plots", ("aesm2.training", "aesm2.cli", "aesm2.report")),
    Imports("aesm2/report", ("aesm2.training", "aesm2.cli", "aesm2.evidence", "aesm2.lab")),
    Imports("aesm2/audit", DRAWING),
    Imports("aesm2/streaming", DRAWING),
)
SOURCES = ("aesm2", "app", "benchmarks")


def python_files(where: str) -> list[Path]:
    """The files of a folder, or the file itself; none where it is not there yet."""
    path = ROOT / where
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] * path.exists()


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@functools.cache
def nodes(tree: ast.Module) -> list[ast.AST]:
    return list(ast.walk(tree))


@functools.cache
def imported(tree: ast.Module) -> list[str]:
    """Every module that is imported, at the top or in a function; relative ones as "."."""
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." if node.level else str(node.module)
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return found


def forbidden_imports(rule: Imports, tree: ast.Module) -> list[str]:
    names = [name for name in imported(tree) if within(name, rule.never)]
    return [name for name in names if not within(name, rule.allowed)]


def attributes(tree: ast.Module, names: tuple[str, ...]) -> list[str]:
    """Uses of such names, as st.NAME or after `from streamlit import NAME`."""
    used = [node.attr for node in nodes(tree) if isinstance(node, ast.Attribute)]
    used += [name.rpartition(".")[2] for name in imported(tree)]
    return [name for name in used if name in names]


def relative_imports(tree: ast.Module) -> list[str]:
    return [name for name in imported(tree) if name == "."]


def pickles(tree: ast.Module) -> list[str]:
    """Ways to load a file that may run code."""
    modules = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
    found = [name for name in imported(tree) if within(name, (*modules, "torch.load"))]
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
            found.append(node.attr)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            found.append("torch.load")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append("allow_pickle")
    return found


def module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs on import, class bodies included."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        inside = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        waiting += [] if isinstance(node, inside) else list(ast.iter_child_nodes(node))


def global_seeding(tree: ast.Module) -> list[str]:
    """Calls on import that set global random state."""
    calls = [ast.unparse(node.func) for node in module_level(tree) if isinstance(node, ast.Call)]
    seeds = ("manual_seed", "manual_seed_all", "random.seed", "set_rng_state", "seed_everything")
    return [call for call in calls if call.endswith(seeds)]


SESSION = ("session_state", "query_params")
CACHE = ("cache_data", "cache_resource")
Find = Callable[[ast.Module], list[str]]
PATTERNS: dict[str, tuple[Find, tuple[str, ...], str]] = {
    # name: what finds it, where it is searched, the one file or package that may
    "session state": (lambda tree: attributes(tree, SESSION), ("app",), "app/state.py"),
    "caching": (lambda tree: attributes(tree, CACHE), ("app",), "app/cache"),
    "pickles": (pickles, SOURCES, ""),
    "global seeding": (global_seeding, SOURCES, ""),
    "relative imports": (relative_imports, SOURCES, ""),
}


@pytest.mark.parametrize("rule", IMPORTS, ids=lambda rule: f"{rule.where} never {rule.never[0]}")
def test_arrows_run_one_way(rule: Imports) -> None:
    found = {str(path): forbidden_imports(rule, parsed(path)) for path in python_files(rule.where)}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("name", PATTERNS)
def test_nobody_but_the_one_place_uses(name: str) -> None:
    find, folders, only = PATTERNS[name]
    paths = [path for folder in folders for path in python_files(folder)]
    own = python_files(only) if only else []
    others = [path for path in paths if path not in own]
    found = {str(path): find(parsed(path)) for path in others}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_files_are_there_to_be_read() -> None:
    for where in ("aesm2", "aesm2/layers", "aesm2/data", "aesm2/models", "aesm2/losses.py"):
        assert python_files(where), where
    assert python_files("aesm2/no_such_package") == []


@pytest.mark.parametrize(
    "source",
    [
        "import streamlit",
        "import streamlit.testing.v1 as t",
        "from streamlit import cache_data",
        "def f():\n    from app import state",
    ],
)
def test_a_forbidden_import_is_found(source: str) -> None:
    assert forbidden_imports(IMPORTS[0], ast.parse(source))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from aesm2.errors import nearest", False),
        ("from aesm2.errors.deeper import nearest", False),
        ("from aesm2.models import AESM2", True),
        ("from aesm2 import models", True),
        ("import aesm2.errors2", True),
        ("import aesm2_extras", False),
    ],
)
def test_exceptions_are_narrow(source: str, found: bool) -> None:
    (rule,) = [rule for rule in IMPORTS if rule.where == "aesm2/config.py"]
    assert bool(forbidden_imports(rule, ast.parse(source))) == found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("session state", "st.session_state['x'] = 1"),
        ("session state", "from streamlit import query_params"),
        ("caching", "@st.cache_data(ttl=3)\ndef f(): ..."),
        ("pickles", "import pickle"),
        ("pickles", "def f():\n    return torch.load(path)"),
        ("pickles", "from torch import load"),
        ("pickles", "np.load(path, allow_pickle=True)"),
        ("global seeding", "torch.manual_seed(0)"),
        ("global seeding", "if x:\n    np.random.seed(0)"),
        ("relative imports", "from . import x"),
        ("relative imports", "from ..layers import x"),
    ],
)
def test_a_forbidden_pattern_is_found(name: str, source: str) -> None:
    assert PATTERNS[name][0](ast.parse(source))


def test_seeding_inside_a_function_is_no_side_effect_of_an_import() -> None:
    assert global_seeding(ast.parse("def f(g):\n    g.manual_seed(0)")) == []
