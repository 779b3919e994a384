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
from .stages import MODELS, MODES, autoencoder, inpainter, samples, segmenter


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
    with atomic(folder / "metadata.csv") as part:  # written last: a folder without it is unfinished
        for name in (*wanted, "provenance.json", "metadata.csv"):
            source, target = made / name, part if name == "metadata.csv" else folder / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy(source, target)


def counterfactual_of(run, cfg, path, folder, alphas, mask=None):
    """Pictures of the workflow of Fig 4 on a user's image, written into `folder`; returns their paths.

    mask: an image file, white inside the lesion; by default the segmenter finds it. The image is cut to
    its central square and scaled to the profile's size. Raises UserError as counterfactual.of_image.
    """
    image = pixels.read_rgb(path)
    if min(image.shape[:2]) < 16:
        raise UserError(
            f"{path}: {image.shape[1]}x{image.shape[0]} pixels are too few; give an image of 16 or more each way"
        )
    if wrong := [a for a in alphas if not 0 <= a <= 1]:
        raise UserError(f"alpha {wrong[0]:g} lies outside 0 (pseudo-normal skin) to 1 (the lesion)")
    if mask is not None:
        found = pixels.read_rgb(mask)
        if not tables.same_aspect(found.shape[1::-1], image.shape[1::-1]):
            raise UserError(
                f"{mask}: of other proportions than {path}; give the mask of this image"
            )
        mask = pixels.to_square(found, cfg.size)[..., 0] > 127
    try:
        made = paths.of_image(
            pixels.to_square(image, cfg.size),
            mask,
            alphas,
            vae=autoencoder(run, cfg, "8ch"),
            segmenter=segmenter(run, cfg),
            inpainter=inpainter(cfg),
        )
    except UserError as reason:
        raise UserError(f"{path}: {reason}") from reason
    if taken := [name for name in made if (Path(folder) / f"{name}.png").exists()]:
        raise UserError(
            f"{Path(folder) / taken[0]}.png exists already; choose another folder with --out"
        )
    for name, picture in made.items():
        with atomic(Path(folder) / f"{name}.png") as part:
            Image.fromarray(picture).save(part)
    return [Path(folder) / f"{name}.png" for name in made]
