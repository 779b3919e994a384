"""The bundled micro models, and where a pre-trained model of any name lies."""

import functools
import hashlib
from pathlib import Path

from ..core.errors import UserError
from ..core.store import PACKAGE, Stage

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
    """Where a pre-trained model comes from: "micro" is bundled, anything else a hub's name."""
    return bundled(part) if name == "micro" else Stage(Path(name), name)
