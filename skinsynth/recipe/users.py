"""What the command line makes for users: folders of samples, a walk of their own image."""

import shutil
from pathlib import Path

from PIL import Image

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import atomic
from ..data import tables
from ..interpolation import paths
from ..numerics import pixels
from .models import MODELS
from .paths import walking
from .samples import MODES, samples


def export_samples(run, cfg, folder, *, model, classes="", n=8, guidance=None, mode=None):
    """Samples as a plain folder of one's own; classes: codes with commas between, "" is all.

    Raises UserError on an unknown name, and where the folder holds something already.
    """
    folder, wanted = Path(folder), tuple(classes.split(",")) if classes else CLASSES
    for value, known in ((model, MODELS), *((c, CLASSES) for c in wanted), (mode or "none", MODES)):
        if value not in known:
            raise UserError(f"unknown {value!r}; choose from: {', '.join(known)}")
    if (folder / "metadata.csv").exists():
        raise UserError(f"{folder} holds samples already; choose another folder")
    made = samples(run, cfg, model, n=n, guidance=guidance, mode=mode, classes=wanted)
    for name in wanted:
        shutil.copytree(made / name, folder / name, dirs_exist_ok=True)
    shutil.copy(made / "provenance.json", folder)
    with atomic(folder / "metadata.csv") as part:  # last: a folder without it is unfinished
        shutil.copy(made / "metadata.csv", part)


def counterfactual_of(run, cfg, path, folder, alphas, mask=None):
    """Pictures of the workflow of Fig 4 on a user's image, written into `folder`; returns their paths.

    mask: an image file, white inside the lesion; by default the segmenter finds it. The image is cut to
    its central square and scaled to the profile's size. Raises UserError as paths.of_image.
    """
    image = pixels.read_rgb(path)
    height, width = image.shape[:2]
    if min(height, width) < 16:
        few = f"{width}x{height} pixels are too few"
        raise UserError(f"{path}: {few}; give an image of 16 or more each way")
    if wrong := [a for a in alphas if not 0 <= a <= 1]:
        raise UserError(f"alpha {wrong[0]:g} lies outside 0 (pseudo-normal skin) to 1 (the lesion)")
    if mask is not None:
        found = pixels.read_mask(mask)
        if not tables.same_aspect(found.shape[1::-1], (width, height)):
            other = f"of other proportions than {path}"
            raise UserError(f"{mask}: {other}; give the mask of this image")
        mask = pixels.mask_square(found, cfg.size)
    try:
        square = pixels.to_square(image, cfg.size)
        made = paths.of_image(square, mask, alphas, **walking(run, cfg))
    except UserError as reason:
        raise UserError(f"{path}: {reason}") from reason
    files = {Path(folder) / f"{name}.png": picture for name, picture in made.items()}
    if taken := [file for file in files if file.exists()]:
        raise UserError(f"{taken[0]} exists already; choose another folder with --out")
    for file, picture in files.items():
        with atomic(file) as part:
            Image.fromarray(picture).save(part)
    return list(files)
