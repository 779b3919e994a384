"""The bundled micro models, and where a pre-trained model of any name lies."""

import functools
import hashlib
import os
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from ..core.errors import UserError
from ..core.store import PACKAGE, Stage, is_planning
from . import weights

FOLDER = PACKAGE / "assets"


@functools.cache
def bundled(part, folder=FOLDER):
    """A bundled model as a finished stage; its key is the hash of its files.

    part: "diffusion" (vae/, unet/, scheduler/ in diffusers' layout), "clip" (open_clip's), "segmenter",
    or a generator in trained/. Raises UserError where it is missing.
    """
    path = folder / part
    files = sorted(p for p in path.rglob("*") if p.is_file())
    if not files:
        remedy = "install the package with its assets, or run `skinsynth pretrain`"
        raise UserError(f"{path} is missing: {remedy}")
    content = b"".join(str(p.relative_to(path)).encode() + p.read_bytes() for p in files)
    return Stage(path, hashlib.sha256(content).hexdigest()[:12])


def named(name, part):
    """Where a pre-trained model lies: "micro" is bundled, any other a network of a hub (table.NETWORKS).

    Its key is its name and the hub's revision: other weights make other stages. A plan does without
    weights that are absent; else they are a UserError with the remedy.
    """
    if name == "micro":
        return bundled(part)
    if is_planning() and isinstance(weights.find(name), weights.NotComputed):
        return Stage(Path(name), name)
    path = weights.require(name)
    return Stage(path, f"{name} {path.name}")


def copy_halved(source, target, ignore=()):
    """Copy a stage's folder into the bundle, weights in float16; ignore: names of files that stay behind."""
    names = shutil.ignore_patterns("stage.json", *ignore)
    shutil.copytree(source, target, ignore=names, copy_function=_copy, dirs_exist_ok=True)


def _copy(source, target):
    if not source.endswith(".safetensors"):
        shutil.copy(source, target)
        return
    state = {k: v.half() if v.is_floating_point() else v for k, v in load_file(source).items()}
    save_file(state, target, metadata={"format": "pt"})
    os.chmod(target, 0o644)


def size_of(folder):
    """How large a folder is, in words."""
    return (
        f"{folder}: {sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) / 1e6:.1f} MB"
    )
