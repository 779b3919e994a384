"""Hashes of the library's code, blind to its prose: by them stages and notebooks know what is current."""

import ast
import functools
import hashlib
import json
import tomllib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
UNSEEN = ("core", "figures", "project", "book", "cli")  # rooms that no stage's content depends on
SETTINGS = "core/profiles.toml"
PAGES = ("book", "cli.py")  # make pages and estimates: no notebook runs them
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def digest(value):
    """SHA-256 of bytes, of a text, or of another value as JSON."""
    if not isinstance(value, bytes | str):
        value = json.dumps(value, sort_keys=True)
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()


def file_digest(path, kind="sha256"):
    """Hash of a file, hexadecimal; kind: as hashlib names it."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, kind).hexdigest()


def without_prose(node):
    """A tree without docstrings as JSON values, equal under all versions of Python (ast.dump's are not)."""
    if isinstance(node, list):
        return [without_prose(x) for x in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
        fields["body"] = fields["body"][1:]
    known = {k: without_prose(v) for k, v in fields.items() if v not in (None, [])}
    return [type(node).__name__, known]


def imported(path, tree):
    """The project's files that a file of the package imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for target in (base, *(base / alias.name for alias in node.names)):
                if target.with_suffix(".py").exists():
                    yield target.with_suffix(".py")
                elif (target / "__init__.py").exists() and target != PACKAGE:
                    yield target / "__init__.py"


@functools.cache
def _module(path):
    """(code without prose, the project's files it imports) of a file."""
    tree = ast.parse(path.read_text())
    return without_prose(tree), frozenset(imported(path, tree))


@functools.cache
def code_hash(module):
    """Hash of a module's code and of the project's modules it imports, however indirectly."""
    start = PACKAGE.joinpath(*module.split("."))
    pending = [start / "__init__.py" if start.is_dir() else start.with_suffix(".py")]
    seen = {}
    while pending:
        path = pending.pop()
        name = path.relative_to(PACKAGE)
        if str(name) not in seen and name.parts[0].removesuffix(".py") not in UNSEEN:
            seen[str(name)], found = _module(path)
            pending.extend(found)
    return digest(seen)


@functools.cache
def library_hashes(profile):
    """{file: short hash} of all that notebooks run: code without its prose, bundled models, the profile's own settings."""
    found = {}
    for path in sorted(p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        name = path.relative_to(PACKAGE)
        if name.parts[0] not in PAGES:
            content = _module(path)[0] if path.suffix == ".py" else path.read_bytes()
            if str(name) == SETTINGS:
                content = tomllib.loads(path.read_text()).get(profile)
            found[str(name)] = digest(content)[:12]
    return found


def library_hash(profile):
    """Hash of `library_hashes`."""
    return digest(library_hashes(profile))
