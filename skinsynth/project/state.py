"""What a run has done: its manifest, and of each notebook whether its results are current."""

import subprocess

import nbformat

from ..core import code, store
from ..data import layouts
from . import chapters


def git_state():
    """{"commit": "no commit" outside a checkout, "dirty": whether the tree differs from it}."""
    order = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        where = chapters.project_root()
        said = subprocess.run(order, cwd=where, capture_output=True, text=True).stdout
    except FileNotFoundError:  # git is not installed
        said = ""
    commit, _, dirty = said.strip().partition("-")
    return {"commit": commit or "no commit", "dirty": bool(dirty)}


def manifest(run):
    """The manifest of a run; {"notebooks": {}} where there is none yet."""
    path = run.root / "manifest.json"
    return store.read_json(path) if path.exists() else {"notebooks": {}}


def identity(data):
    """What the images are: hashes of a data folder's sets, as layouts.identity has them."""
    return layouts.identity(data) if data else {"phantom": "drawn from the seed"}


def keys(notebooks, parameters, profile, inputs):
    """Key of each notebook, in two halves: what is computed (its code, parameters, the library, the data, and
    what is upstream), and what is said (prose, captions, tags).
    """
    claims = chapters.project_root() / "book" / "claims.yml"
    library = [code.library_hash(profile), claims.read_text() if claims.exists() else ""]
    computed, found = {}, {}
    for name in notebooks:
        cells = nbformat.read(chapters.source(name), 4).cells
        above = [computed[n] for n in chapters.upstream(name) if n in computed]
        work = [c.source for c in cells if c.cell_type == "code"], parameters.get(name, {})
        said = [[c.source, c.metadata.get("mystnb"), c.metadata.get("tags")] for c in cells]
        computed[name] = code.digest([work, profile, inputs, library, above])[:16]
        found[name] = computed[name] + code.digest(said)[:16]
    return found


def computes(key):
    """The half of a notebook's key that says what it computes."""
    return key[: len(key) // 2]


def status(run, data=""):
    """{notebook: "current", "stale", "failed" or "missing"}, by the parameters last used."""
    known, whole = chapters.present(), manifest(run)
    states = dict.fromkeys(known, "missing")
    if not whole["notebooks"]:
        return states
    entries = {n: e for n, e in whole["notebooks"].items() if n in known}
    used = {n: entry["parameters"] for n, entry in entries.items()}
    fresh = keys(known, used, whole["profile"], identity(data) if data else whole["inputs"])
    for name, entry in entries.items():
        current = "current" if entry["key"] == fresh[name] else "stale"
        states[name] = current if entry["status"] == "completed" else entry["status"]
    return states
