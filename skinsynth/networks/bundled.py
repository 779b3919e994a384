"""The bundled micro models, and where a pre-trained model of any name lies."""

import functools
import hashlib
from pathlib import Path

from ..core.errors import UserError
from ..core.store import PACKAGE, Stage, is_planning
from . import weights

FOLDER = PACKAGE / "assets"


@functools.cache
def bundled(part, folder=FOLDER):
    """A bundled model as a finished stage; its key is the hash of its files.

    part: "diffusion" (vae/, unet/, scheduler/ in diffusers' layout), "clip" (open_clip's) or
    "segmenter". Raises UserError where it is missing.
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
