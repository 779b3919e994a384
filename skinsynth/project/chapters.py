"""The notebooks, what they depend on, and the parameters they declare: checked before any work."""

import ast
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import nbformat

from ..core import store
from ..core.config import PROFILES, check, choose, configure
from ..core.errors import UserError
from ..data import layouts

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
OPTIONS = ("profile", "data")  # parameters that have an option of their own


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
    try:
        lines = [(*node.targets, node.value) for node in ast.parse(code).body]
        return {name.id: ast.literal_eval(value) for name, value in lines}
    except (AttributeError, SyntaxError, ValueError):
        wanted = "the parameters cell takes only lines like name = 3 (literals)"
        raise UserError(f"{where}: {wanted}") from None


def tagged(page, tag):
    """The cells of a notebook that have a tag."""
    return [c for c in page.cells if tag in c.metadata.get("tags", ())]


def declared_parameters(notebook):
    """Literal defaults {name: value} of the one cell tagged `parameters` of a source notebook.

    Raises UserError where the notebook, the tag or the literals are missing.
    """
    path = source(notebook)
    cells = tagged(nbformat.read(path, 4), "parameters")
    if len(cells) != 1:
        raise UserError(f"{path.name}: needs one cell tagged 'parameters', has {len(cells)}")
    return assigned(cells[0].source, path.name)


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
            known = text.capitalize() if text.lower() in ("true", "false") else text
            # what stays a text `check` refuses
            with suppress(SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
                values[name] = ast.literal_eval(known)
    check(values, declared, "-p: ")
    return values


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
        if layouts.has(path, "ham10000"):
            return str(path.resolve())
    raise UserError(f"{data}: no such data folder with ham10000/ in it; see `skinsynth data fetch`")


def overrides(given, declared):
    """Given values that replace the profile's: fields of Config that differ from the notebook's default."""
    fields = {k: v for k, v in asdict(PROFILES["micro"]).items() if k not in OPTIONS}
    changed = {k: v for k, v in given.items() if k in fields and v != declared[k]}
    return {k: float(v) if isinstance(fields[k], float) else v for k, v in changed.items()}


def configured(profile, data, parameters, notebooks):
    """(Configuration of a run, {notebook: {name: value}} of the parameters that each notebook declares).

    Raises UserError on a parameter that no notebook takes, and as `data_folder` and `configure`.
    """
    declared = {n: declared_parameters(n) for n in notebooks}
    for name in set(OPTIONS) & parameters.keys():
        raise UserError(f"parameter {name} has its own option: --{name}")
    check(parameters, {k: v for names in declared.values() for k, v in names.items()}, "-p: ")
    given = {n: {k: v for k, v in parameters.items() if k in declared[n]} for n in notebooks}
    choose(profile, PROFILES, "profile")
    for name, default in ((k, declared[n][k]) for n in notebooks for k in given[n]):
        own, stands = getattr(PROFILES[profile], name, default), isinstance(default, bool)
        if parameters[name] == default != own and (stands or name == "limit"):
            fault = f"-p {name}={default} stands for what the profile says, and {profile} has {own}"
            raise UserError(f"{fault}; change it in skinsynth/core/profiles.toml")
    changed = {}
    for notebook, values in given.items():
        changed |= overrides(values, declared[notebook])
    cfg = configure(profile, data=data_folder(data, profile), **changed)
    if {"backbone", "inpainter"} & changed.keys():
        from .. import recipe  # late: it imports every network

        recipe.check(cfg)
    return cfg, given
