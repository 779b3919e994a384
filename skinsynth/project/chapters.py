"""The notebooks, what they depend on, and the parameters they declare: checked before any work."""

import ast
import os
from dataclasses import asdict
from pathlib import Path

import nbformat

from ..core import store
from ..core.config import PROFILES, check, choose, configure
from ..core.errors import UserError

NOTEBOOKS = (
    "01_data",
    "02_vae",
    "03_diffusion",
    "04_generation",
    "05_interpolation",
    "06_downstream",
    "07_checks",
)
DRAWN = ("smoke", "micro")  # profiles that can run on the phantom


def project_root():
    """Folder with notebooks/ and book/: the variable SKINSYNTH_ROOT, or the package's parent."""
    return Path(os.environ.get("SKINSYNTH_ROOT") or store.ROOT)


def source(notebook):
    """Path of a notebook as it is written; raises UserError where there is none."""
    path = project_root() / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        known = ", ".join(NOTEBOOKS)
        raise UserError(f"{path.name}: no such notebook in notebooks/; known: {known}")
    return path


def present():
    """Names of the notebooks that exist, in running order."""
    return [n for n in NOTEBOOKS if (project_root() / "notebooks" / f"{n}.ipynb").exists()]


def upstream(notebook):
    """What a notebook depends on, in running order: all before it; 07 needs no more than 04."""
    end = "05_interpolation" if notebook == "07_checks" else notebook
    return NOTEBOOKS[: NOTEBOOKS.index(end)]


def select(only):
    """Notebooks that `only` names by number or beginning ("04"), all of them for nothing."""
    known = present()
    for beginning in only:
        if not any(n.startswith(beginning) for n in known):
            raise UserError(f"no notebook begins with {beginning!r}; known: {', '.join(known)}")
    return [n for n in known if not only or n.startswith(tuple(only))]


def assigned(code, where):
    """{name: value} of a cell that only assigns literals to names; raises UserError on anything else."""
    values = {}
    try:
        for node in ast.parse(code).body:
            (name,) = node.targets
            values[name.id] = ast.literal_eval(node.value)
    except (AttributeError, SyntaxError, ValueError):
        wanted = "the parameters cell takes only lines like name = 3 (literals)"
        raise UserError(f"{where}: {wanted}") from None
    return values


def declared_parameters(notebook):
    """Literal defaults {name: value} of the one cell tagged `parameters` of a source notebook.

    Raises UserError where the notebook, the tag or the literals are missing.
    """
    path = source(notebook)
    cells = nbformat.read(path, 4).cells
    cells = [c.source for c in cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(f"{path.name}: needs one cell tagged 'parameters', has {len(cells)}")
    return assigned(cells[0], path.name)


def parse(pairs, notebooks):
    """Command line values ["steps=10"] as typed values, by the type of the declared default.

    Raises UserError on a pair without "=", an unknown name, or a value that is not of that type.
    """
    declared = {k: v for n in notebooks for k, v in declared_parameters(n).items()}
    values = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise UserError(f"-p {pair}: write it as name=value")
        values[name] = text
        if not isinstance(declared.get(name), str):
            try:
                known = text.capitalize() if text.lower() in ("true", "false") else text
                values[name] = ast.literal_eval(known)
            except (SyntaxError, ValueError):
                pass  # a text, which `check` refuses
    check(values, declared, "-p: ")
    return values


def assign(parameters, notebooks):
    """Parameters of each notebook, {notebook: {name: value}}; every one must find a taker."""
    declared = {n: declared_parameters(n) for n in notebooks}
    for name in {"profile", "data"} & parameters.keys():
        raise UserError(f"parameter {name} has its own option: --{name}")
    check(parameters, {k: v for names in declared.values() for k, v in names.items()}, "-p: ")
    return {n: {k: v for k, v in parameters.items() if k in declared[n]} for n in notebooks}


def data_folder(data, profile):
    """Absolute path of a data folder ("" is the phantom).

    A relative path counts from the working folder, then from the project. Raises UserError where
    it is missing, or where the profile cannot do without real images.
    """
    choose(profile, PROFILES, "profile")
    data = data or os.environ.get("SKINSYNTH_DATA", "")
    if not data and profile in DRAWN:
        return ""
    if not data:
        remedy = "name its folder (--data, or SKINSYNTH_DATA)"
        raise UserError(f"profile {profile} reads HAM10000: {remedy}")
    for path in (Path(data).expanduser(), project_root() / data):
        if (path / "ham10000").is_dir():
            return str(path.resolve())
    raise UserError(f"{data}: no such data folder with ham10000/ in it; see `skinsynth data fetch`")


def overrides(given, declared):
    """Given values that replace the profile's: fields of Config that differ from the notebook's default."""
    fields, changed = asdict(PROFILES["micro"]), {}
    for name, value in given.items():
        if name in fields and name not in ("profile", "data") and value != declared[name]:
            changed[name] = float(value) if isinstance(fields[name], float) else value
    return changed


def configured(profile, data, given):
    """The configuration of a run whose notebooks are given parameters {notebook: {name: value}}."""
    changed = {}
    for notebook, values in given.items():
        changed |= overrides(values, declared_parameters(notebook))
    cfg = configure(profile, data=data_folder(data, profile), **changed)
    if {"backbone", "inpainter"} & changed.keys():
        from .. import recipe  # late: it imports every network

        recipe.check(cfg)
    return cfg
