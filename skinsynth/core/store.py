"""Where results live: atomic files, runs, and stages that are computed once for each content."""

import ast
import errno
import fcntl
import functools
import hashlib
import inspect
import json
import os
import shutil
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from . import machine

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent
UNSEEN = (
    "core",
    "figures",
    "project",
    "book",
    "cli",
)  # rooms in no stage's key: no stage's content depends on them
BOOK = ("book", "cli.py")  # make pages and estimates; no notebook runs them


@contextmanager
def atomic(path):
    """Yield a temporary path beside `path`; it takes the place of `path` only if all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path, value):
    with atomic(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path):
    return json.loads(Path(path).read_text())


def write_csv(path, frame):
    with atomic(path) as part:
        frame.to_csv(part, index=False, float_format="%.6g")


@contextmanager
def locked(path):
    """Hold an exclusive lock on a file: of two processes the second waits."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def results_root():
    """Folder of all runs: the variable SKINSYNTH_RESULTS, or results/ in the project."""
    return Path(os.environ.get("SKINSYNTH_RESULTS") or ROOT / "results")


@dataclass(frozen=True)
class Run:
    """A results folder: figures, tables, evidence and stages of one run."""

    name: str

    @property
    def root(self):
        return results_root() / self.name

    def __getattr__(self, name):
        if name not in ("figures", "tables", "stages", "evidence", "parameters"):
            raise AttributeError(name)
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class Stage:
    """A finished stage: its folder and the key of everything it was made from."""

    path: Path
    key: str

    def __truediv__(self, name):
        return self.path / name


def _without_prose(tree):
    """Drop docstrings, so that prose does not change a key (comments are not in the tree)."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = body[1:]
    return tree


def _same(node):
    """A tree as JSON values that are equal under all versions of Python (ast.dump's text is not)."""
    if isinstance(node, ast.AST):
        return [
            type(node).__name__,
            {k: _same(v) for k, v in ast.iter_fields(node) if v not in (None, [])},
        ]
    return [_same(x) for x in node] if isinstance(node, list) else repr(node)


@functools.cache
def _module(name):
    """(code without prose, names of the project's modules it imports) of one module."""
    path = PACKAGE.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text())
    here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1] + (node.module or "").split(".")
            for parts in (base, *(base + [alias.name] for alias in node.names)):
                target = ".".join(p for p in parts if p)
                file = PACKAGE.joinpath(*target.split("."))
                if target and (file.with_suffix(".py").exists() or (file / "__init__.py").exists()):
                    found.add(target)
    return ast.dump(_without_prose(tree)), frozenset(found)


@functools.cache
def code_hash(module):
    """Hash of a module's code and of the project's modules it imports, however indirectly."""
    seen, pending = {}, [module]
    while pending:
        name = pending.pop()
        if name not in seen and name.split(".")[0] not in UNSEEN:
            seen[name], imported = _module(name)
            pending.extend(imported)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


@functools.cache
def folder_identity(folder):
    """Hash of the names and sizes of all files below a folder and of its tables' contents."""
    found = []
    for path, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            file = Path(path, name)
            table = (
                file.suffix in (".csv", ".tab") and hashlib.sha256(file.read_bytes()).hexdigest()
            )
            found.append([os.path.relpath(file, folder), file.stat().st_size, table])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


@functools.cache
def library_hashes():
    """{file: short hash} of all code that notebooks run, without docstrings and comments, and of the
    bundled models."""
    files = [
        p for p in sorted(PACKAGE.rglob("*.py")) if p.relative_to(PACKAGE).parts[0] not in BOOK
    ]
    found = {p: json.dumps(_same(_without_prose(ast.parse(p.read_text())))).encode() for p in files}
    found |= {p: p.read_bytes() for p in sorted((PACKAGE / "assets").rglob("*")) if p.is_file()}
    return {
        str(p.relative_to(PACKAGE)): hashlib.sha256(text).hexdigest()[:12]
        for p, text in found.items()
    }


def library_hash():
    """Hash of `library_hashes`."""
    return hashlib.sha256(json.dumps(library_hashes(), sort_keys=True).encode()).hexdigest()


def processes():
    """(number of this process, function that waits for all): more than one under accelerate launch."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return 0, lambda: None
    from accelerate import PartialState

    return PartialState().process_index, PartialState().wait_for_everyone


def _finished(name):
    """Folder of a finished stage in any run, or None."""
    found = sorted(results_root().glob(f"*/stages/{name}/stage.json"))
    return found[0].parent if found else None


def _workplace(final, rank):
    """Where a process writes: the first into the stage, the others beside it, to be thrown away.

    All share the stage's checkpoint.
    """
    (final / "checkpoint").mkdir(parents=True, exist_ok=True)
    if rank == 0:
        return final
    own = final / f".rank{rank}"
    own.mkdir(exist_ok=True)
    if not (own / "checkpoint").exists():
        (own / "checkpoint").symlink_to(final / "checkpoint")
    return own


def _fact(value):
    """What an input counts as in a key: a stage by its own key, a dict by its values, others as they are."""
    if isinstance(value, dict):
        return {k: _fact(v) for k, v in value.items()}
    return value.key if isinstance(value, Stage) else value


_PLANNED = None  # stages asked for, {folder name: facts}, while nothing is to be computed


@contextmanager
def planning():
    """Inside, a stage that is asked for is entered in the yielded dict, not computed: {folder: facts}.

    facts: stage, inputs (as given), path, finished, and the seconds it took where it is finished.
    """
    global _PLANNED
    before, _PLANNED = _PLANNED, {}
    try:
        yield _PLANNED
    finally:
        _PLANNED = before


def stage(name):
    """Make `f(out, *, **inputs)` a stage: `f(run, **inputs)` computes it once for each content.

    The key is a hash of the inputs (another stage counts by its key, a Path not at all: give what
    identifies its content beside it), and of the code of the function's module and what it imports.
    An unfinished stage keeps its folder and is resumed by `f`; a finished one is found in any run. Two
    programs may ask for the same stage: one waits. Processes of one program (accelerate launch)
    compute it together.
    """

    def decorate(function):
        module = function.__module__.split(".", 1)[1]
        known = inspect.signature(function)

        @functools.wraps(function)
        def call(run, **inputs):
            bound = known.bind(None, **inputs)
            bound.apply_defaults()
            inputs = dict(list(bound.arguments.items())[1:])
            facts = {k: _fact(v) for k, v in inputs.items() if not isinstance(v, Path)}
            text = json.dumps([name, facts, code_hash(module)], sort_keys=True)
            key = hashlib.sha256(text.encode()).hexdigest()[:12]
            if _PLANNED is not None:
                found = _finished(f"{name}-{key}")
                facts = dict(stage=name, inputs=inputs, finished=found is not None)
                facts["path"] = found or run.root / "stages" / f"{name}-{key}"
                facts["seconds"] = read_json(found / "stage.json")["seconds"] if found else None
                _PLANNED.setdefault(f"{name}-{key}", facts)
                return Stage(facts["path"], key)
            final, rank, wait = run.stages / f"{name}-{key}", *processes()
            wait()
            finished = _finished(f"{name}-{key}")
            wait()  # nobody goes on before all have looked
            if finished:
                return Stage(finished, key)
            lock = locked(run.stages / ".locks" / f"{name}-{key}") if rank == 0 else nullcontext()
            with lock:
                wait()
                if not (final / "stage.json").exists():
                    wait()
                    start = time.perf_counter()
                    function(_workplace(final, rank), **inputs)
                    seconds = round(time.perf_counter() - start, 2)
                    wait()
                    if rank == 0:
                        for rest in final.glob(".rank*"):
                            shutil.rmtree(rest)
                        made_by = dict(
                            stage=name, inputs=facts, seconds=seconds, machine=machine.sentence()
                        )
                        write_json(final / "stage.json", made_by)
                        shutil.rmtree(final / "checkpoint", ignore_errors=True)
                wait()
            return Stage(final, key)

        return call

    return decorate


NO_SPACE = os.strerror(errno.ENOSPC)


def disk_full(error):
    """Whether an error says that no space is left (safetensors says so in its text only)."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or NO_SPACE in str(error)
