"""The rooms of the library: imports flow downwards, no circle, light things stay light, files stay short."""

import ast
import graphlib
import subprocess
import sys

import pytest
from conftest import ROOT

from skinsynth.core import code

ROOMS = """core numerics phantom data networks diffusion interpolation evaluation downstream figures
pretrain recipe project book cli""".split()
LONGEST = 342  # lines of a file of the library: as many as the longest has; never more, sooner less
LIBRARY = sorted(code.PACKAGE.rglob("*.py"))
ALL = [
    *LIBRARY,
    *sorted(p for folder in ("tests", "bench", "book") for p in (ROOT / folder).rglob("*.py")),
]


def room(path):
    return path.relative_to(code.PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Files of the library that a file imports, at its top or late, without the door of its own room."""
    found = code.imported(path, ast.parse(path.read_text()))
    return {target for target in found if target != path.parent / "__init__.py"}


def test_every_room_has_its_place():
    assert {room(p) for p in LIBRARY} == {*ROOMS, "__init__"}


def test_imports_flow_downwards():
    upwards = [
        f"{path.relative_to(code.PACKAGE)} imports {target.relative_to(code.PACKAGE)}"
        for path in LIBRARY
        for target in imported(path)
        if room(path) != "__init__" and ROOMS.index(room(target)) > ROOMS.index(room(path))
    ]
    assert upwards == []


def test_no_circle():
    order = graphlib.TopologicalSorter({path: imported(path) for path in LIBRARY}).static_order()
    assert set(order) == set(LIBRARY)


def test_the_library_names_itself_by_dots_so_that_no_import_is_missed():
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(name.split(".")[0] == "skinsynth" for name in names), path


def test_stages_live_in_rooms_that_keys_see():
    for path in LIBRARY:
        if any(line.startswith("@stage(") for line in path.read_text().splitlines()):
            assert room(path) not in code.UNSEEN, path


@pytest.mark.parametrize(
    "names", ["core.config, skinsynth.core.store, skinsynth.core.versions", "cli"]
)
def test_what_has_to_answer_at_once_imports_no_torch(names):
    order = f"import sys, skinsynth.{names}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", order], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_it_is_for_and_the_formatter_has_no_exceptions(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree) and tree.body[0].lineno == 1
    assert ("fmt: " + "skip") not in text and ("fmt: " + "off") not in text
    if path in LIBRARY:
        assert len(text.splitlines()) <= LONGEST
