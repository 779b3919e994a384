"""Measures of images: likeness of two; colour, border, texture and band energy of one."""

import cv2
import numpy as np
import torch
from scipy.stats import norm, rankdata, wasserstein_distance

from ..core.errors import UserError
from ..core.machine import device, side_by_side
from ..numerics.arrays import to_tensor
from ..numerics.stats import LEVEL, Estimate, cluster_error

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, five scales
BANDS = ((0.03, 0.125), (0.125, 0.25), (0.25, 0.5))  # cycles per pixel: coarse, middle, fine


def _pair(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        kinds = f"{a.shape} {a.dtype} and {b.shape} {b.dtype}"
        raise UserError(f"images differ: {kinds}; give uint8 of one shape")
    return a, b


def mse(a, b):
    """Mean squared error per image on the scale [0, 1]. a, b: uint8 (N, H, W, 3). Returns (N,)."""
    a, b = _pair(a, b)
    difference = a.reshape(len(a), -1).astype(np.float32) - b.reshape(len(b), -1)
    return (np.float64(difference) ** 2).mean(1) / 255**2


def psnr(a, b):
    """Peak signal-to-noise ratio per image in dB; infinite for equal images. Returns (N,)."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse(a, b))


def ms_ssim_scales(size):
    """Scales that fit: the coarsest still holds the 11-pixel window (161 px: 5; 64 px: 3)."""
    if size < 11:
        raise UserError(f"MS-SSIM needs images of 11 pixels or more, got {size}")
    return max(s for s in range(1, 6) if s == 1 or size > 10 * 2 ** (s - 1))


def _in_batches(function, a, b, batch=64):
    """function(a, b) -> tensor (n,), over pairs of uint8 images in batches, as one float64 array."""

    def one(i):
        return function(a[i : i + batch], b[i : i + batch]).double().cpu().numpy().reshape(-1)

    return np.concatenate(side_by_side(one, range(0, len(a), batch)))


def ms_ssim(a, b):
    """Multi-scale structural similarity per image, 1 for equal images.

    a, b: uint8 (N, H, W, 3). Returns ((N,) values, number of scales). With fewer than five scales
    the published weights of the finer ones are renormalised to sum to 1: not comparable with
    values of five scales, so print the number beside them. Window: Gaussian, 11 pixels.
    """
    # here and not above: the import takes seconds, which only this function is worth
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    a, b = _pair(a, b)
    scales = ms_ssim_scales(min(a.shape[1:3]))
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    betas = tuple((weights / weights.sum()).tolist())

    def likeness(*images):
        x, y = (torch.from_numpy(np.array(v)).permute(0, 3, 1, 2).float() / 255 for v in images)
        # with a Gaussian window kernel_size only enters torchmetrics' check of the size, which is
        # stricter than the window needs (176 instead of 161 px); sigma 1.5 makes it 11 wide
        return multiscale_structural_similarity_index_measure(
            x, y, kernel_size=9, sigma=1.5, reduction="none", data_range=1.0, betas=betas
        )

    return _in_batches(likeness, a, b), scales


@torch.no_grad()
def lpips_distance(net, a, b, batch=64):
    """LPIPS of each pair of images, 0 for equal ones, lower is nearer. net: a published.LPIPS.

    a, b: uint8 (N, H, W, 3). Returns (N,).
    """

    def distance(*images):
        return net(*(to_tensor(v).to(device()) for v in images))

    return _in_batches(distance, *_pair(a, b), batch)


def luminance(images):
    """ITU-R 601 luminance in [0, 1]. images: uint8 RGB (N, H, W, 3). Returns (N, H, W) float64."""
    return np.asarray(images) @ np.array([0.299, 0.587, 0.114]) / 255


def band_energy(images, bands=BANDS):
    """log10 of the mean spectral power of the luminance in rings of spatial frequency.

    bands: (low, high) in cycles per pixel. Hann window, mean removed. Returns (N, bands).
    """
    y = luminance(images)
    h, w = y.shape[1:]
    window = np.outer(np.hanning(h), np.hanning(w))
    y = (y - y.mean((1, 2), keepdims=True)) * window
    power = np.abs(np.fft.fft2(y)) ** 2 / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    rings = [(radius >= low) & (radius < high) for low, high in bands]
    return np.stack([np.log10(power[:, ring].mean(1) + 1e-12) for ring in rings], 1)


def energy_kept(originals, copies, bands=BANDS[1:]):
    """Spectral power of copies over that of their originals in rings of spatial frequency, in decibel: 0 is all,
    -3 half, -10 a tenth. bands: as for `band_energy`. Returns (N, bands)."""
    return 10 * (band_energy(copies, bands) - band_energy(originals, bands))


def _inside(images, masks):
    shape = np.asarray(images).shape
    masks = np.ones(shape[:3], bool) if masks is None else np.asarray(masks) > 0
    if masks.shape != shape[:3]:
        raise UserError(f"masks {masks.shape} do not fit images {shape}")
    return masks


def colour_statistics(images, masks=None):
    """Mean of CIELAB L, a, b, then their standard deviations, inside the masks if given.

    images: uint8 (N, H, W, 3); masks: (N, H, W), non-zero inside. Returns (N, 6); nan if empty.
    """
    rows = []
    for image, mask in zip(images, _inside(images, masks), strict=True):
        lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[mask]
        rows.append([*lab.mean(0), *lab.std(0)] if len(lab) else [np.nan] * 6)
    return np.array(rows, float).reshape(-1, 6)


def border_sharpness(images, masks):
    """Mean luminance gradient (per pixel) on the line between lesion and skin.

    images: uint8 (N, H, W, 3); masks: (N, H, W). Returns (N,); nan where a mask has no border.
    """
    kernel, out = np.ones((3, 3), np.uint8), []
    for y, mask in zip(luminance(images), _inside(images, masks).astype(np.uint8), strict=True):
        line = cv2.dilate(mask, kernel) > cv2.erode(mask, kernel)
        gradient = np.hypot(*np.gradient(y))
        out.append(gradient[line].mean() if line.any() else np.nan)
    return np.array(out, float)


def texture_energy(images, masks=None):
    """RMS of the luminance minus its blur (sigma = height / 32), inside the masks if given.

    Returns (N,); nan where a mask is empty.
    """
    out = []
    for y, mask in zip(luminance(images), _inside(images, masks), strict=True):
        detail = (y - cv2.GaussianBlur(y, (0, 0), len(y) / 32))[mask]
        out.append(np.sqrt((detail**2).mean()) if len(detail) else np.nan)
    return np.array(out, float)


def measure_distance(reference, samples):
    """How far the distribution of a measure lies from the reference's: 0 is equal.

    reference, samples: (N,) or (N, columns). Wasserstein-1 distance in standard deviations of the
    reference, averaged over the columns; rows with nan are left out.
    """
    reference, samples = (np.asarray(v, float).reshape(len(v), -1) for v in (reference, samples))
    reference, samples = (v[np.isfinite(v).all(1)] for v in (reference, samples))
    if len(reference) < 2 or not len(samples):
        return np.nan
    scale = reference.std(0, ddof=1)
    distances = [wasserstein_distance(r, s) for r, s in zip(reference.T, samples.T, strict=True)]
    return float(np.mean(distances / np.where(scale > 0, scale, 1)))


def band_gap(reference, samples):
    """Absolute difference of mean log energies, averaged over bands: (N, bands), (M, bands)."""
    return float(np.abs(np.mean(reference, 0) - np.mean(samples, 0)).mean())


def trivial_features(images):
    """Features no lesion is needed for: dict of name -> (N,). images: uint8 (N, H, W, 3)."""
    y = luminance(images)
    edge = max(1, y.shape[1] // 16)
    frame = np.ones(y.shape[1:], bool)
    frame[edge:-edge, edge:-edge] = False
    steps = np.abs(np.diff(y, axis=2)).mean(1)  # (N, W - 1); JPEG's blocks meet at 8, 16 ...
    seam = np.arange(1, y.shape[2]) % 8 == 0
    rgb = np.asarray(images).reshape(len(y), -1, 3).mean(1) / 255
    return {
        "border darkness": -y[:, frame].mean(1),
        "blockiness": steps[:, seam].mean(1) - steps[:, ~seam].mean(1),
        "dynamic range": np.ptp(y, axis=(1, 2)),
        **{f"mean {c}": rgb[:, i] for i, c in enumerate(("red", "green", "blue"))},
    }


def auc_interval(positive, negative, label="", ids=None):
    """Area under the ROC curve with DeLong's interval; 0.5 tells nothing. (N,), (M,) scores.

    ids: what goes together, such as lesions, (N,) and (M,); then its form for clusters (Obuchowski 1997).
    """
    p, q = np.asarray(positive, float), np.asarray(negative, float)
    both = rankdata(np.concatenate([p, q]))
    above = (both[: len(p)] - rankdata(p)) / len(q)  # share of negatives below each positive
    below = 1 - (both[len(p) :] - rankdata(q)) / len(p)
    value = above.mean()
    sides = zip((above, below), ids or map(np.arange, map(len, (p, q))), strict=True)
    half = norm.ppf(LEVEL) * np.hypot(*(cluster_error(*side)[0] for side in sides))
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(
        float(value),
        float(low),
        float(high),
        len(both),
        label,
        "DeLong over clusters" if ids else "DeLong",
    )


def shortcut_audit(real, fake, lesions, seeds):
    """How well one trivial feature tells fake from real: AUC for each, above 0.5 if fake is higher.

    real, fake: uint8 (N, H, W, 3); lesions, seeds: (N,) ids. Returns a list of Estimate, the feature as label.
    """
    r, f = trivial_features(real), trivial_features(fake)
    return [auc_interval(f[name], r[name], name, (seeds, lesions)) for name in r]


def worst_region(error, share=1 / 8):
    """Centre (x, y) in pixels of the region of largest error. error: (H, W), averaged over a disc."""
    smooth = cv2.GaussianBlur(np.asarray(error, np.float64), (0, 0), len(error) * share / 2)
    y, x = np.unravel_index(smooth.argmax(), smooth.shape)
    return int(x), int(y)
