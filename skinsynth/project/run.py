"""The runner: strict parameters, only what changed, nothing half-written, a manifest of it all."""

import ast
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import nbformat

from ..core import machine, store
from ..core.config import configure
from ..core.errors import UserError
from . import chapters, session

PACKAGES = ("torch", "diffusers", "open_clip_torch", "accelerate", "numpy", "jupyter-book")
PAGES = ("executed", "failed")  # folders of a run that hold notebooks


def digest(value):
    """Short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def notebooks(root=None):
    """Names of the notebooks that exist, in running order."""
    folder = (root or chapters.project_root()) / "notebooks"
    return [n for n in chapters.NOTEBOOKS if (folder / f"{n}.ipynb").exists()]


def select(only, known):
    """Notebooks that `only` names by number or beginning ("04"); all of them for nothing."""
    chosen = {n for n in known for o in only if n.startswith(o)}
    for o in only:
        if not any(n.startswith(o) for n in known):
            raise UserError(f"no notebook begins with {o!r}; known: {', '.join(known)}")
    return [n for n in known if n in chosen] if only else list(known)


def parse(pairs, chosen, root=None):
    """Command line values ["steps=10"] as typed values, by the type of the declared default.

    Raises UserError on a pair without "=", an unknown name, or a value that is not of that type.
    """
    declared = {k: v for n in chosen for k, v in chapters.declared_parameters(n, root).items()}
    values = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise UserError(f"-p {pair}: write it as name=value")
        if name not in declared:
            raise UserError(f"unknown parameter {name!r}; known: {', '.join(declared)}")
        wanted = type(declared[name])
        try:
            plain = {"true": True, "false": False}.get(text.lower())
            value = (
                text if wanted is str else plain if plain is not None else ast.literal_eval(text)
            )
        except (ValueError, SyntaxError):
            value = text
        chapters.check_parameters("-p", {name: value}, declared)
        values[name] = value
    return values


def assign(parameters, chosen, root=None):
    """Parameters of each notebook, {notebook: {name: value}}; every one must find a taker."""
    declared = {n: chapters.declared_parameters(n, root) for n in chosen}
    known = {k: v for names in declared.values() for k, v in names.items()}
    for name in parameters:
        if name in ("profile", "data"):
            raise UserError(f"parameter {name} has its own option: --{name}")
    chapters.check_parameters("-p", parameters, known)
    return {n: {k: v for k, v in parameters.items() if k in declared[n]} for n in chosen}


def configured(profile, data, given, root=None):
    """The configuration of a run whose notebooks are given parameters {notebook: {name: value}}."""
    changed = {}
    for name, values in given.items():
        changed |= chapters.overrides(values, chapters.declared_parameters(name, root))
    cfg = configure(profile, data=chapters.data_folder(data, profile), **changed)
    if {"backbone", "inpainter"} & changed.keys():
        from .. import recipe  # late: it imports every network

        recipe.check(cfg)
    return cfg


def identity(data):
    """What the images are: a hash of a data folder's tables, names and sizes."""
    return {"files": store.folder_identity(data)} if data else {"phantom": "drawn from the seed"}


def keys(chosen, parameters, profile, inputs, root=None):
    """Key of each notebook, in two halves: what is computed (its code, parameters, the library, the data, and
    what is upstream), and what is said (prose, captions, tags).
    """
    root = root or chapters.project_root()
    claims = root / "book" / "claims.yml"
    library = [store.library_hash(), claims.read_text() if claims.exists() else ""]
    code, found = {}, {}
    for name in chosen:
        cells = nbformat.read(root / "notebooks" / f"{name}.ipynb", 4).cells
        source = [c.source for c in cells if c.cell_type == "code"]
        above = [code[n] for n in chapters.DEPENDS.get(name, ()) if n in code]
        code[name] = digest([source, parameters.get(name, {}), profile, inputs, library, above])
        said = [[c.source, c.metadata.get("mystnb"), c.metadata.get("tags")] for c in cells]
        found[name] = code[name] + digest(said)
    return found


def computes(key):
    """The half of a notebook's key that says what it computes."""
    return key[: len(key) // 2]


def manifest_path(run):
    return run.root / "manifest.json"


def manifest(run):
    """The manifest of a run; {"notebooks": {}} where there is none yet."""
    path = manifest_path(run)
    return store.read_json(path) if path.exists() else {"notebooks": {}}


def facts(profile, cfg, inputs):
    """What does not change from notebook to notebook: versions, machine, data."""
    commit, dirty = session.git_state()
    return {
        "run": cfg.run,
        "profile": profile,
        "data": Path(cfg.data).name if cfg.data else "phantom",
        "commit": commit,
        "dirty": dirty,
        "versions": {p: version(p) for p in PACKAGES} | {"python": platform.python_version()},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": machine.sentence(),
        "machine": machine.describe(),
        "inputs": inputs,
        "library": store.library_hashes(),
    }


@contextmanager
def environment(**values):
    """Variables for the kernels that are started inside; None removes one."""
    before = dict(os.environ)
    for name, value in values.items():
        os.environ.pop(name, None)
        os.environ.update({name: value} if value is not None else {})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def explain(name, error):
    """One line for a failed cell: notebook, cell, error; a UserError speaks for itself."""
    where = f"notebooks/{name}.ipynb, cell {error.cell_index}"
    if store.NO_SPACE in error.evalue:
        return f"{where}: disk full ({store.results_root()}); free space and run again"
    said = error.evalue if error.ename == "UserError" else f"{error.ename}: {error.evalue}"
    return f"{where}: {' '.join(said.split())}"


def execute(name, run, parameters, root):
    """Execute one notebook by papermill into the run's executed/; raises UserError if it fails."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    executed, failed = (run.root / folder / f"{name}.ipynb" for folder in PAGES)
    part = executed.with_suffix(".part.ipynb")
    part.parent.mkdir(parents=True, exist_ok=True)
    source = root / "notebooks" / f"{name}.ipynb"
    options = {"cwd": str(source.parent), "kernel_name": "python3"}
    options["extra_arguments"] = ["--IPKernelApp.log_level=50"]  # it warns of TCP each time
    try:
        papermill.execute_notebook(
            str(source), str(part), parameters, progress_bar=sys.stderr.isatty(), **options
        )
        page = nbformat.read(part, 4)
        page.metadata.papermill.update(input_path=source.name, output_path=source.name)
        nbformat.write(page, part)  # without the paths of this machine
        os.replace(part, executed)
        failed.unlink(missing_ok=True)
    except (papermill.PapermillExecutionError, DeadKernelError) as error:
        failed.parent.mkdir(exist_ok=True)
        if part.exists():
            shutil.copyfile(part, failed)
        if isinstance(error, DeadKernelError):
            raise UserError(
                f"notebooks/{name}.ipynb: the kernel died, most often for want of memory; "
                "choose a smaller profile"
            ) from None
        raise UserError(explain(name, error)) from None
    finally:
        part.unlink(missing_ok=True)


def reword(name, run, root):
    """Give an executed notebook the prose, captions and tags of its source, whose code is the same."""
    path = run.root / "executed" / f"{name}.ipynb"
    done, page = nbformat.read(path, 4), nbformat.read(root / "notebooks" / f"{name}.ipynb", 4)
    given = [c for c in done.cells if "injected-parameters" in c.metadata.get("tags", ())]
    shown = iter([c for c in done.cells if c.cell_type == "code" and c not in given])
    for cell in (c for c in page.cells if c.cell_type == "code"):
        old = next(shown)
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
        cell.metadata.update(
            {k: old.metadata[k] for k in ("papermill", "execution") if k in old.metadata}
        )
    place = 1 + next(
        i for i, c in enumerate(page.cells) if "parameters" in c.metadata.get("tags", ())
    )
    page.cells[place:place] = given
    page.metadata = done.metadata
    with store.atomic(path) as part:
        nbformat.write(page, part)


def publish(run, root=None):
    """Copy a run's executed notebooks to book/executed, where the site is built from."""
    target = (root or chapters.project_root()) / "book" / "executed"
    for name in chapters.NOTEBOOKS:
        path, copy = run.root / "executed" / f"{name}.ipynb", target / f"{name}.ipynb"
        if not path.exists():
            copy.unlink(missing_ok=True)
        elif not copy.exists() or copy.read_bytes() != path.read_bytes():
            with store.atomic(copy) as part:
                shutil.copyfile(path, part)
    store.write_json(target / "run.json", {"run": run.name})


def run_notebooks(
    profile="micro",
    data="",
    only=(),
    parameters=None,
    force=False,
    root=None,
    say=print,
    ahead=None,
):
    """Execute the notebooks whose code, parameters, data or upstream changed; returns their names.

    profile: a name of PROFILES; data: folder with ham10000/, "" for the phantom.
    only: beginnings of names ("04"); stale notebooks upstream of them are executed first.
    parameters: {name: value} for all notebooks that declare the name; force: execute them anyway.
    ahead: plan.announced, or nothing: what says and shows how long it will take. Everything is checked
    before any work; raises UserError. A second process on the same run waits.
    """
    root = Path(root or chapters.project_root())
    known = notebooks(root)
    wanted = select(only, known)
    needed = [
        n for n in known if n in {*wanted, *(u for w in wanted for u in chapters.upstream(w))}
    ]
    if not needed:
        raise UserError(f"{root / 'notebooks'}: no notebooks there; run from a full checkout")
    given = assign(parameters or {}, needed, root)
    with environment(SKINSYNTH_ROOT=str(root)):
        cfg = configured(profile, data, given, root)
        run, inputs = store.Run(cfg.run), identity(cfg.data)
        common = facts(profile, cfg, inputs)
    variables = {
        "SKINSYNTH_ROOT": str(root),
        "SKINSYNTH_RUN": run.name,
        "SKINSYNTH_DATA": cfg.data or None,
        "SKINSYNTH_QUIET": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one in the home folder
    }
    with store.locked(run.root / ".lock"), environment(**variables):
        fresh = keys(needed, given, profile, inputs, root)
        entries = manifest(run)["notebooks"]
        known = [
            n
            for n in needed
            if not (force and n in wanted) and (run.root / "executed" / f"{n}.ipynb").exists()
        ]
        known = [
            n
            for n in known
            if entries.get(n, {}).get("status") == "completed"
            and computes(entries[n]["key"]) == computes(fresh[n])
        ]
        for name in known:
            if entries[name]["key"] != fresh[name]:
                reword(name, run, root)
                _enter(run, common, name, entries[name] | {"key": fresh[name]})
                say(f"{name}: new prose, the same results")
        left = [n for n in needed if n not in known]
        with ahead(run, cfg, left, say) if ahead and left else nullcontext():
            for name in left:
                say(f"{name} ...")
                seconds = _run_one(name, run, given[name], fresh[name], common, root)
                say(f"{name} done in {seconds:.0f} s")
        publish(run, root)
    return left


def _run_one(name, run, given, key, common, root):
    """Execute one notebook and enter it in the manifest, also when it fails."""
    entry = {"key": key, "status": "failed", "parameters": given}
    entry |= {k: common[k] for k in ("commit", "dirty", "device")}
    start = time.perf_counter()
    try:
        execute(name, run, {"profile": common["profile"], **given}, root)
        entry["status"] = "completed"
    finally:
        entry["seconds"] = round(time.perf_counter() - start, 1)
        entry["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        _enter(run, common, name, entry)
    return entry["seconds"]


def _enter(run, common, name, entry):
    """Put a notebook's entry into the manifest."""
    whole = common | {"notebooks": manifest(run)["notebooks"] | {name: entry}}
    store.write_json(manifest_path(run), whole)


def status(run, data="", root=None):
    """{notebook: "current", "stale", "failed" or "missing"}, by the parameters last used."""
    root = Path(root or chapters.project_root())
    whole, known = manifest(run), notebooks(root)
    entries = whole["notebooks"]
    if not entries:
        return dict.fromkeys(known, "missing")
    used = {n: entries.get(n, {}).get("parameters", {}) for n in known}
    inputs = identity(data) if data else whole["inputs"]
    fresh = keys(known, used, whole["profile"], inputs, root)
    state = {}
    for name in known:
        entry = entries.get(name, {"status": "missing"})
        done = entry["status"] == "completed"
        state[name] = (
            entry["status"] if not done else "current" if entry["key"] == fresh[name] else "stale"
        )
    return state
