"""What holds for the whole tree: sizes, the one broad except, locks, the wheel."""

import ast
import builtins
import re
import statistics
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

TREE = Path(__file__).resolve().parents[1]
PACKAGES = ("agent", "center", "collectors", "wire")
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {name: TREE / "requirements" / f"{name}.txt" for name in ("run", "demo", "dev", "fuzz")}
IMPORT_NAMES = {
    "google-re2": "re2",
    "PyYAML": "yaml",
    "paho-mqtt": "paho",
}  # where a distribution is imported by another name


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (TREE / folder).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(*folders: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in python_files(*folders):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(TREE)}:{node.lineno} {node.name}", node


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        text = node.body[0]
        lines -= (text.end_lineno or text.lineno) - text.lineno + 1
    return lines


def tracked_files() -> list[Path]:
    """Files of the repository; every file where there is no git."""
    try:
        command = ["git", "-C", str(TREE), "ls-files", "-z"]
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
        return [TREE / name for name in listed if name and (TREE / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        hidden = re.compile(r"/(\.|dist/|build/|__pycache__)")
        return [path for path in TREE.rglob("*") if path.is_file() and not hidden.search(str(path)[len(str(TREE)) :])]


# ---- sizes ----


def test_no_file_is_longer_than_400_lines():
    long = {
        str(path.relative_to(TREE)): count
        for path in python_files(*PACKAGES, "bench", "tests")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert {} == long


def test_the_lifecycle_fits_on_a_screen():
    assert len((TREE / "agent" / "run.py").read_text(encoding="utf-8").splitlines()) < 120


def test_half_of_the_functions_have_at_most_12_lines_and_none_more_than_40():
    sizes = {place: lines_of(node) for place, node in functions(*PACKAGES)}
    assert statistics.median(sizes.values()) <= 12
    assert {} == {place: size for place, size in sizes.items() if size > 40}


def test_functions_take_at_most_three_positional_parameters():
    many = {}
    for place, node in functions(*PACKAGES):
        names = [
            argument.arg
            for argument in (*node.args.posonlyargs, *node.args.args)
            if argument.arg not in {"self", "cls"}
        ]
        if len(names) > 3 and not node.name.startswith(("_on_", "on_")):  # of a callback the caller decides
            many[place] = names
    assert {} == many


# ---- shape ----


def test_the_product_swallows_broadly_in_one_place_and_that_is_supervise():
    broad = [
        f"{path.relative_to(TREE)}:{node.lineno}"
        for path in python_files(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node)
    ]
    assert ["agent/supervise.py"] == [place.partition(":")[0] for place in broad], broad


def _is_broad(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or (isinstance(one, ast.Name) and one.id in {"Exception", "BaseException"}) for one in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_imports_are_absolute_and_names_say_what_is_inside():
    vague = re.compile(r"(^|_)(utils?|common|helpers?|manager|base|models?|core|misc)\.py$")
    assert [] == [str(path) for path in python_files(*PACKAGES) if vague.search(path.name)]
    relative = [
        str(path)
        for path in python_files(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert [] == relative


def test_folders_that_are_no_packages_have_no_init_file():
    found = [
        path
        for folder in ("tests", "config", "packaging", "systemd", "docs")
        for path in (TREE / folder).rglob("__init__.py")
    ]
    assert [] == found


def test_every_ignored_lint_rule_has_its_reason():
    without = [
        f"{path.relative_to(TREE)}:{number}"
        for path in python_files(*PACKAGES, "bench", "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"#\s*noqa(: ?[A-Z0-9, ]+)?\s*$", line) or re.search(r"#\s*type: ignore\s*(#|$)", line)
    ]
    assert [] == without


def test_no_test_is_empty():
    tests = [(place, node) for place, node in functions("tests") if node.name.startswith("test_")]
    assert [] == [place for place, node in tests if not any(_claims(inner) for inner in ast.walk(node))]


def _claims(node: ast.AST) -> bool:
    """Tell whether a node can fail a test: an assertion, or a helper of ours that may hold some."""
    if isinstance(node, ast.Assert | ast.Raise):
        return True
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr in {"raises", "fail", "warns"} or node.func.attr.startswith("assert_")
    return getattr(node.func, "id", "print") not in dir(builtins)


def test_every_test_has_a_name_of_its_own():
    twice = [
        f"{path.relative_to(TREE)}: {name}"
        for path in python_files("tests")
        for name in _repeated(
            [node.name for node in tree_of(path).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        )
    ]
    assert [] == twice


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1 and name.startswith("test_")})


# ---- locks ----


def locked(name: str) -> dict[str, Version]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)", LOCKS[name].read_text(encoding="utf-8"), re.MULTILINE)
    return {_plain(package): Version(version) for package, version in pins}


def _plain(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def wanted(name: str) -> list[Requirement]:
    groups = PROJECT["dependency-groups"]
    if name == "fuzz":
        return [Requirement(text) for text in groups[name]]
    listed = list(PROJECT["project"]["dependencies"])
    if name != "run":
        listed += [*PROJECT["project"]["optional-dependencies"]["demo"], *groups["build"]]
    if name == "dev":
        listed += [one for one in groups["dev"] if isinstance(one, str)]
    return [Requirement(text) for text in listed]


@pytest.mark.parametrize("name", LOCKS)
def test_each_lock_holds_what_the_project_asks_for(name):
    pins = locked(name)
    missing = [str(one) for one in wanted(name) if _plain(one.name) not in pins]
    outdated = [
        str(one) for one in wanted(name) if one.name not in missing and pins[_plain(one.name)] not in one.specifier
    ]
    assert ([], []) == (missing, outdated), "make lock"


def test_the_locks_agree():
    run, demo, dev = (locked(name) for name in ("run", "demo", "dev"))
    assert run.items() <= demo.items() <= dev.items(), "make lock"


@pytest.mark.parametrize("path", LOCKS.values(), ids=LOCKS)
def test_every_pin_has_hashes_and_no_lock_names_a_registry(path):
    text = path.read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [] == [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert "://" not in text


def test_the_product_imports_only_what_the_project_asks_for():
    asked = {IMPORT_NAMES.get(one.name, one.name.replace("-", "_")) for one in wanted("run")}
    optional = {
        Requirement(text).name for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra
    }
    known = asked | set(PACKAGES) | set(sys.stdlib_module_names)
    unknown = {}
    for path in python_files(*PACKAGES):
        top = {name for node in tree_of(path).body for name in _imports(node)}
        inner = {name for node in ast.walk(tree_of(path)) for name in _imports(node)}
        is_demo = path.name.startswith("demo")  # its processes start only where the extra is installed
        if unasked := (inner - known - optional) | (set() if is_demo else top - known):
            unknown[str(path.relative_to(TREE))] = unasked
    assert {} == unknown


def _imports(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {str(node.module).partition(".")[0]} if isinstance(node, ast.ImportFrom) and not node.level else set()


def test_the_repository_names_no_place_of_one_machine():
    places = re.compile(
        rb"(/root/|/opt/wheels|/tmp/venv|/home/[a-z]+/|\bfind-links\s*=|index-url\s*=|pypi\.org|pythonhosted)"
    )
    ours = Path(__file__).resolve()
    found = [
        str(path.relative_to(TREE)) for path in tracked_files() if path != ours and places.search(path.read_bytes())
    ]
    assert [] == found


# ---- the wheel ----


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(TREE)).build(directory=str(folder), versions=["standard"])
    return zipfile.ZipFile(built)


def test_the_wheel_holds_exactly_the_four_packages(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {*PACKAGES, f"edgepost-{PROJECT['project']['version']}.dist-info"} == tops


def test_the_wheel_brings_config_and_every_module(wheel):
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    config = {
        f"agent/_config/{path.relative_to(TREE / 'config')}" for path in (TREE / "config").rglob("*") if path.is_file()
    }
    code = {str(path.relative_to(TREE)) for path in python_files(*PACKAGES)}
    assert config | code <= held
    assert set() == {name for name in held - config - code if name.endswith(".py")}


def test_the_version_stands_in_one_way_everywhere():
    from agent import VERSION

    assert PROJECT["project"]["version"] == VERSION
