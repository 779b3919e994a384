"""The runner: strict parameters, only what changed, nothing half-written, a manifest of it all."""

import logging
import os
import platform
import shutil
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import nbformat

from ..core import code, machine, store
from ..core.errors import UserError, of_system
from ..data import layouts
from . import chapters, state

QUIET = {"SKINSYNTH_QUIET": "1"}  # bars are off
PACKAGES = ("torch", "diffusers", "open_clip_torch", "accelerate", "numpy", "jupyter-book")


def facts(cfg):
    """What does not change from notebook to notebook: versions, machine, data."""
    return {
        "run": cfg.run,
        "profile": cfg.profile,
        "data": Path(cfg.data).name if cfg.real else "phantom",
        **state.git_state(),
        "versions": {p: version(p) for p in PACKAGES} | {"python": platform.python_version()},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": machine.sentence(),
        "machine": machine.describe(),
        "inputs": state.identity(cfg.data),
        "library": code.library_hashes(cfg.profile),
    }


def _refuse_without_masks(cfg, needed):
    """Raise UserError where a chapter is wanted whose segmenter has nothing to learn from."""
    wanted = [name for name in needed if name >= "04"]
    if wanted and (layouts.checked(layouts.scan_ham, cfg.data).mask_path == "").all():
        remedy = f"add {layouts.MASK_FOLDER} to ham10000/, or run --only 01 --only 02 --only 03"
        raise UserError(f"{cfg.data}: no lesion masks, which {wanted[0]} needs: {remedy}")


def environment(**values):
    """Context with variables for the kernels and programs that are started inside."""
    return mock.patch.dict(os.environ, values)


def _kernel():
    """Class that starts this environment's kernel, whatever kernelspecs are installed, broken or absent."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    order = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    own = KernelSpec(argv=order, display_name="Python 3", language="python")
    return type("Kernel", (AsyncKernelManager,), {"kernel_spec": own})


def explain(name, error):
    """One line for a failed cell: notebook, cell, error; a UserError speaks for itself."""
    where = f"notebooks/{name}.ipynb"
    if type(error) is RuntimeError:
        return f"{where}: no kernel starts ({error}); `make install` mends the environment"
    if not hasattr(error, "cell_index"):
        return f"{where}: the kernel died, most often for want of memory; choose a smaller profile"
    where += f", cell {error.cell_index}"
    said = error.evalue if error.ename == "UserError" else f"{error.ename}: {error.evalue}"
    if error.ename != "UserError":
        said = str(of_system(error.evalue, store.results_root()) or said)
    return f"{where}: {' '.join(said.split())}"


def execute(name, run, parameters):
    """Execute one notebook by papermill into the run's executed/; raises UserError if it fails.

    What a failed one did lies in failed/.
    """
    import papermill

    source, file = chapters.source(name), f"{name}.ipynb"
    executed, failed = run.root / "executed" / file, run.root / "failed" / file
    quiet = ["--IPKernelApp.log_level=50"]  # it warns of TCP each time
    options = dict(cwd=str(source.parent), kernel_name="python3", extra_arguments=quiet)
    options |= dict(progress_bar=sys.stderr.isatty(), kernel_manager_class=_kernel())
    for noisy in ("asyncio", "traitlets"):  # a kernel that dies raises an error: once is enough
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    with store.atomic(executed) as part:
        try:
            page = papermill.execute_notebook(str(source), str(part), parameters, **options)
        except (papermill.PapermillExecutionError, RuntimeError) as error:
            failed.parent.mkdir(exist_ok=True)
            if part.exists():
                shutil.copyfile(part, failed)
            raise UserError(explain(name, error)) from None
        page.metadata.papermill.update(input_path=file, output_path=file)  # no path of this machine
        nbformat.write(page, part)
    failed.unlink(missing_ok=True)


def reword(name, run):
    """Give an executed notebook the prose, captions and tags of its source, whose code is the same."""
    path = run.root / "executed" / f"{name}.ipynb"
    done, page = nbformat.read(path, 4), nbformat.read(chapters.source(name), 4)
    given = chapters.tagged(done, "injected-parameters")
    shown = (c for c in done.cells if c.cell_type == "code" and c not in given)
    for cell, old in zip((c for c in page.cells if c.cell_type == "code"), shown, strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
        for key in {"papermill", "execution"} & old.metadata.keys():
            cell.metadata[key] = old.metadata[key]
    place = 1 + page.cells.index(chapters.tagged(page, "parameters")[0])
    page.cells[place:place] = given
    page.metadata = done.metadata
    with store.atomic(path) as part:
        nbformat.write(page, part)


def publish(run):
    """Copy a run's executed notebooks to book/executed, where the site is built from."""
    target = chapters.project_root() / "book" / "executed"
    store.sweep(target, ".*")
    for name in chapters.NOTEBOOKS:
        path, copy = run.root / "executed" / f"{name}.ipynb", target / f"{name}.ipynb"
        if not path.exists():
            copy.unlink(missing_ok=True)
        elif not copy.exists() or copy.read_bytes() != path.read_bytes():
            with store.atomic(copy) as part:
                shutil.copyfile(path, part)
    store.write_json(target / "run.json", {"run": run.name})


def run_notebooks(
    profile="micro", data="", only=(), parameters=None, force=False, say=print, ahead=None
):
    """Execute the notebooks whose code, parameters, data or upstream changed; returns their names.

    profile: a name of PROFILES; data: folder with ham10000/, "" for the phantom.
    only: beginnings of names ("04"); stale notebooks upstream of them are executed first.
    parameters: {name: value} for all notebooks that declare the name; force: execute them anyway.
    ahead: plan.announced, or nothing: what says and shows how long it will take. Everything is checked
    before any work; raises UserError. A second process on the same run waits.
    """
    root, wanted = chapters.project_root(), chapters.select(only)
    above = {u for n in wanted for u in chapters.upstream(n)}
    needed = [n for n in chapters.present() if n in above.union(wanted)]
    if not needed:
        raise UserError(f"{root / 'notebooks'}: no notebooks there; run from a full checkout")
    cfg, given = chapters.configured(profile, data, parameters or {}, needed)
    if cfg.data:
        _refuse_without_masks(cfg, needed)
    run, common = store.Run(cfg.run), facts(cfg)
    names = dict(SKINSYNTH_ROOT=str(root), SKINSYNTH_RUN=run.name, SKINSYNTH_DATA=cfg.data)
    with store.locked(run.root / ".lock"), environment(**QUIET, **names):
        store.sweep(run.root, ".*", "[!s]*/**/.*")  # stages/ by who computes them
        fresh = state.keys(needed, given, profile, common["inputs"])
        forced = wanted if force else ()
        left = [n for n in needed if n in forced or not _kept(n, run, fresh[n], common, say)]
        with ahead(run, cfg, left, say) if ahead and left else nullcontext():
            for name in left:
                say(f"{name} ...")
                seconds = _run_one(name, run, given[name], fresh[name], common)
                say(f"{name} done in {seconds:.0f} s")
        with store.locked(store.results_root() / ".book.lock"):  # a site may be under way
            publish(run)
    return left


def _kept(name, run, key, common, say):
    """Whether a notebook's results are those of its code; it is given its new prose, if that is all that is new."""
    entry = state.manifest(run)["notebooks"].get(name, {"status": "missing"})
    there = (run.root / "executed" / f"{name}.ipynb").exists() and entry["status"] == "completed"
    if not there or state.computes(entry["key"]) != state.computes(key):
        return False
    if entry["key"] != key:
        reword(name, run)
        _enter(run, common, name, entry | {"key": key})
        say(f"{name}: new prose, the same results")
    return True


def _run_one(name, run, given, key, common):
    """Execute one notebook and enter it in the manifest, also when it fails; returns its seconds."""
    entry = {"key": key, "status": "failed", "parameters": given}
    entry |= {k: common[k] for k in ("commit", "dirty", "device")}
    start = time.perf_counter()
    try:
        execute(name, run, {"profile": common["profile"], **given})
        entry["status"] = "completed"
    finally:
        entry["seconds"] = round(time.perf_counter() - start, 1)
        entry["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        _enter(run, common, name, entry)
    return entry["seconds"]


def _enter(run, common, name, entry):
    """Put a notebook's entry into the manifest, which forgets notebooks that are no more."""
    entries = state.manifest(run)["notebooks"] | {name: entry}
    known = {n: e for n, e in entries.items() if n in chapters.NOTEBOOKS}
    store.write_json(run.root / "manifest.json", common | {"notebooks": known})
