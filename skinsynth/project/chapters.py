"""The notebooks, what they depend on, and the parameters they declare: checked before any work."""

import ast
import os
from dataclasses import asdict
from pathlib import Path

import nbformat

from ..core import store
from ..core.config import PROFILES
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
DEPENDS = {  # what a notebook reads from others directly
    "02_vae": ("01_data",),
    "03_diffusion": ("02_vae",),
    "04_generation": ("03_diffusion",),
    "05_interpolation": ("04_generation",),
    "06_downstream": ("05_interpolation",),
    "07_checks": ("04_generation",),
}
DRAWN = ("smoke", "micro")  # profiles that can run on the phantom


def project_root():
    """Folder with notebooks/ and book/: the variable SKINSYNTH_ROOT, or the package's parent."""
    return Path(os.environ.get("SKINSYNTH_ROOT") or store.ROOT)


def upstream(notebook):
    """Every notebook that `notebook` depends on, in running order."""
    found = set()
    for name in DEPENDS.get(notebook, ()):
        found |= {name, *upstream(name)}
    return [n for n in NOTEBOOKS if n in found]


def assigned(source):
    """{name: AST of the value} of a cell of plain assignments; None for any other statement."""
    found = {}
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or not node.value:
            return None
        found[targets[0].id] = node.value
    return found


def declared_parameters(notebook, root=None):
    """Literal defaults {name: value} of the one cell tagged `parameters` of a source notebook.

    Raises UserError where the notebook, the tag or the literals are missing.
    """
    path = (root or project_root()) / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        raise UserError(
            f"{path.name}: no such notebook in notebooks/; known: {', '.join(NOTEBOOKS)}"
        )
    cells = [c for c in nbformat.read(path, 4).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(f"{path.name}: needs one cell tagged 'parameters', has {len(cells)}")
    values = assigned(cells[0].source)
    try:
        return {name: ast.literal_eval(node) for name, node in values.items()}
    except (AttributeError, ValueError):
        raise UserError(
            f"{path.name}: the parameters cell takes only lines like name = 3 (literals)"
        ) from None


def check_parameters(notebook, given, declared):
    """Raise UserError on an undeclared name or a value of another type than its default."""
    for name, value in given.items():
        if name not in declared:
            raise UserError(f"{notebook}: unknown parameter {name!r}; known: {', '.join(declared)}")
        wanted = type(declared[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise UserError(
                f"{notebook}: parameter {name} should be {wanted.__name__}, "
                f"got {type(value).__name__} {value!r}"
            )


def data_folder(data, profile):
    """Absolute path of a data folder ("" is the phantom).

    A relative path counts from the working folder, then from the project. Raises UserError where
    it is missing, or where the profile cannot do without real images.
    """
    if profile not in PROFILES:
        raise UserError(f"unknown profile {profile!r}; choose one of: {', '.join(PROFILES)}")
    data = data or os.environ.get("SKINSYNTH_DATA", "")
    if not data:
        if profile not in DRAWN:
            raise UserError(
                f"profile {profile} reads HAM10000: name its folder (--data, or SKINSYNTH_DATA)"
            )
        return ""
    for path in (Path(data).expanduser(), project_root() / data):
        if (path / "ham10000").is_dir():
            return str(path.resolve())
    raise UserError(f"{data}: no such data folder with ham10000/ in it; see `skinsynth data fetch`")


def overrides(given, declared):
    """Given values that replace the profile's: fields of Config that differ from the notebook's default."""
    fields = asdict(PROFILES["micro"])
    changed = {}
    for name, value in given.items():
        if name in fields and name not in ("profile", "data") and value != declared[name]:
            changed[name] = float(value) if isinstance(fields[name], float) else value
    return changed
