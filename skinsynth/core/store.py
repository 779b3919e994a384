"""Where results live: atomic files, runs, and stages that are computed once for each content."""

import fcntl
import functools
import inspect
import json
import os
import re
import shutil
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from . import machine
from .code import PACKAGE, code_hash, digest
from .errors import UserError

ROOT = PACKAGE.parent
FOLDERS = ("figures", "tables", "stages", "evidence", "parameters")  # of a run


@contextmanager
def atomic(path):
    """Yield a temporary path beside `path`; it takes the place of `path` only if all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno and not error.filename:  # a write that fails names no file
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def _running(pid):
    try:
        os.kill(pid, 0)
    except OSError as error:  # of another user: running all the same
        return not isinstance(error, ProcessLookupError)
    return True


def sweep(folder, *patterns):
    """Remove what killed programs left half-written, see `atomic`, among the files of glob patterns in a folder."""
    for part in (p for pattern in patterns for p in folder.glob(pattern)):
        pid = re.fullmatch(r"\..+\.(\d+)(\.\w+)?", part.name)
        if pid and not _running(int(pid[1])):
            part.unlink(missing_ok=True)


def write_json(path, value):
    with atomic(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path):
    """What a file of JSON holds; raises UserError where it is broken."""
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:  # of letters, too
        raise UserError(f"{path}: broken ({error}); remove it and run again") from error


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
        if name not in FOLDERS:
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


def processes():
    """(number of this process, function that waits for all): more than one under accelerate launch."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return 0, lambda: None
    from accelerate import PartialState

    return PartialState().process_index, PartialState().wait_for_everyone


def _finished(name):
    """Folder of a finished stage in any run, or None."""
    found = sorted(results_root().glob(f"*/stages/{name}/stage.json"))
    return _whole(found[0].parent) if found else None


def _sizes(folder):
    """{file of a stage: its bytes}, of all that stays; not of pictures: they are many, and their reader notices."""
    files = {p.relative_to(folder): p for p in sorted(folder.rglob("*")) if p.is_file()}
    names = [n for n in files if n.parts[0] not in ("checkpoint", "stage.json")]
    return {str(n): files[n].stat().st_size for n in names if n.suffix != ".png"}


@functools.cache
def _whole(folder):
    """The folder of a finished stage; raises UserError where a file is cut off or gone since."""
    for name, size in read_json(folder / "stage.json").get("files", {}).items():
        path = folder / name
        found = path.stat().st_size if path.exists() else 0
        if found != size:
            wrong = f"{found} bytes of {size} are there"
            raise UserError(f"{path}: {wrong}; remove {folder}, the next run makes it again")
    return folder


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


def _compute(final, function, inputs, about):
    """Compute a stage into its folder, unless another program just has; all processes together.

    about: what stage.json says of it, besides its seconds and the machine.
    """
    rank, wait = processes()
    with locked(final.parent / ".locks" / final.name) if rank == 0 else nullcontext():
        wait()
        if not (final / "stage.json").exists():
            wait()
            if rank == 0:
                sweep(final, "**/.*")
            start = time.perf_counter()
            function(_workplace(final, rank), **inputs)
            seconds = round(time.perf_counter() - start, 2)
            wait()
            if rank == 0:
                for rest in final.glob(".rank*"):
                    shutil.rmtree(rest)
                about |= dict(seconds=seconds, machine=machine.sentence(), files=_sizes(final))
                write_json(final / "stage.json", about)
                shutil.rmtree(final / "checkpoint", ignore_errors=True)
        wait()


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


def is_planning():
    """Whether stages are entered in a plan now, instead of being computed."""
    return _PLANNED is not None


def _enter(name, folder, inputs):
    """Enter a stage in the plan instead of computing it; returns its folder."""
    found = _finished(folder.name)
    facts = dict(stage=name, inputs=inputs, path=found or folder, finished=found is not None)
    facts["seconds"] = read_json(found / "stage.json")["seconds"] if found else None
    _PLANNED.setdefault(folder.name, facts)
    return facts["path"]


def _fact(value):
    """What an input counts as in a key: a stage by its own key, a dict by its values, others as they are."""
    if isinstance(value, dict):
        return {k: _fact(v) for k, v in value.items()}
    return value.key if isinstance(value, Stage) else value


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
            key = digest([name, facts, code_hash(module)])[:12]
            folder = run.root / "stages" / f"{name}-{key}"
            if is_planning():
                return Stage(_enter(name, folder, inputs), key)
            wait = processes()[1]
            wait()
            found = _finished(folder.name)
            wait()  # nobody goes on before all have looked
            if not found:
                _compute(folder, function, inputs, dict(stage=name, inputs=facts))
            return Stage(found or folder, key)

        return call

    return decorate
