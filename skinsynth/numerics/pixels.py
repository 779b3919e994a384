"""Pixels of image files: any kind of file becomes a square of the size asked for."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..core.errors import UserError

TRUTH = ("hair", "clean", "normal")  # kinds of truth that a phantom image has
ORIENTATION = 0x0112  # EXIF: how a camera was held
UNREADABLE = (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError)  # Pillow's


def _turn(image):
    """The orientation that an opened image's header tells, 1 (upright) to 8; reads no pixel."""
    return image.getexif().get(ORIENTATION, 1) if "exif" in image.info else 1


def upright_size(image):
    """(width, height) of an opened image as `read_rgb` returns it."""
    return image.size[:: -1 if _turn(image) in (5, 6, 7, 8) else 1]


def _decode(path, convert):
    """What `convert` makes of an opened image, turned upright; a fault of the file becomes a UserError."""
    try:
        with Image.open(path) as image:
            return convert(image if _turn(image) == 1 else ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; add it or remove its row") from error
    except UNREADABLE as error:
        reason = " ".join(str(error).replace(str(path), "file").split())
        raise UserError(f"{path}: unreadable image ({reason}); download it again") from error


def _to_rgb(image):
    deep = image.mode.startswith("I")
    if deep or image.mode == "F":
        grey = np.asarray(image, np.float64) / (257 if deep else 1)
        return np.repeat(grey.round().clip(0, 255).astype(np.uint8)[..., None], 3, 2)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def read_rgb(path):
    """Pixels of one image file: uint8 RGB (H, W, 3), upright; alpha is dropped, 16 bits become 8.

    Raises UserError on a file that is absent, not an image, or cut short.
    """
    return _decode(path, _to_rgb)


def to_square(image, size):
    """Centre-crop to a square and resize: area mean when shrinking, cubic when enlarging."""
    h, w = image.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    image = image[top : top + side, left : left + side]
    if side == size:
        return image
    how = cv2.INTER_AREA if size < side else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=how)


def jpeg(images, quality):
    """Images (N, H, W, 3) uint8 RGB as they come back from a JPEG file of that quality (1 to 100)."""
    how = [cv2.IMWRITE_JPEG_QUALITY, quality]
    coded = (cv2.imencode(".jpg", x[..., ::-1], how)[1] for x in np.asarray(images))
    return np.stack([cv2.imdecode(x, cv2.IMREAD_COLOR)[..., ::-1] for x in coded])


def _read_squares(paths, size, read=read_rgb, cut=to_square, channels=(3,)):
    with ThreadPoolExecutor(4) as pool:  # decoding releases the interpreter's lock; order is kept
        found = list(pool.map(lambda path: cut(read(path), size), paths))
    return np.array(found, np.uint8).reshape(-1, size, size, *channels)


def read_levels(path):
    """Grey levels (H, W) of a mask's file as they are stored, a palette's colours in grey.

    Raises UserError as `read_rgb`.
    """
    deep = ("I", "F")
    return _decode(path, lambda x: np.asarray(x if x.mode.startswith(deep) else x.convert("L")))


def read_mask(path):
    """A mask (H, W) bool from a file: what has half of the file's largest grey level or more.

    So masks of 0 and 1 mean what those of 0 and 255 mean. Raises UserError as `read_rgb`.
    """
    grey = read_levels(path)
    return (grey > 0) & (grey >= grey.max() / 2)


def mask_square(mask, size):
    """A mask (H, W) bool as `to_square` cuts and scales: a pixel counts when at least half of it is covered."""
    return to_square(np.where(mask, np.uint8(254), np.uint8(0)), size) >= 127


def _read_masks(paths, size):
    """Masks (N, size, size) bool of files."""
    return _read_squares(paths, size, read_mask, mask_square, ()).astype(bool)


def read_images(records, size):
    """Images of the records as uint8 RGB (N, size, size, 3), centre-cropped to a square.

    Raises UserError, naming the file, on an absent, unreadable or truncated image.
    """
    return _read_squares(records.path, size)


def read_masks(records, size):
    """Lesion masks as bool (N, size, size), cropped and scaled as the images are.

    Raises UserError where a record has no mask, or its file is absent or unreadable.
    """
    bare = records.image_id[records.mask_path == ""]
    if len(bare):
        raise UserError(f"{bare.iloc[0]}: no lesion mask; put the official masks beside the images")
    return _read_masks(records.mask_path, size)


def read_truth(records, kind, size):
    """Ground truth of phantom images: kind "hair" -> bool (N, size, size); "clean" (the image
    without hair) or "normal" (the skin without lesion and hair) -> uint8 RGB (N, size, size, 3).

    Raises UserError on another kind, and for records that have no truth (real images).
    """
    if kind not in TRUTH:
        raise UserError(f"unknown truth {kind!r}; choose one of: {', '.join(TRUTH)}")
    real = records.image_id[records.truth_dir == ""]
    if len(real):
        raise UserError(f"{real.iloc[0]}: real images have no ground truth; use phantom records")
    files = records.truth_dir + "/" + records.image_id + f"_{kind}.png"
    return _read_masks(files, size) if kind == "hair" else _read_squares(files, size)
