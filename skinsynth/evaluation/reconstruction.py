"""How well autoencoders give images back: Table 1 and Fig 5, and what each latent channel carries."""

import numpy as np

from ..core.machine import device
from ..diffusion import vae
from ..networks.classifiers import probabilities
from ..networks.published import LPIPS
from ..numerics import pixels, stats
from . import measures, metrics
from .distances import of_features

FLOOR = "floor: JPEG, quality 90"


def reconstruct(originals, stages):
    """{name: uint8 (N, H, W, 3)}: the originals as JPEG, for scale, then through each VAE stage and back.

    originals: uint8 (N, H, W, 3); stages: {name: finished VAE stage}.
    """
    found = {FLOOR: pixels.jpeg(originals, 90)}
    return found | {name: vae.round_trip(stage, originals) for name, stage in stages.items()}


def measured(originals, copies):
    """The measures of Table 1, {name of the copy: {measure: (N,) values}}; copies: {name: (N, H, W, 3)}."""
    net = LPIPS("alex").to(device())
    return {
        name: {
            "MSE": measures.mse(originals, copy),
            "PSNR (dB)": measures.psnr(originals, copy),
            LPIPS.NAMES["alex"]: measures.lpips_distance(net, originals, copy),
            "MS-SSIM": measures.ms_ssim(originals, copy)[0],
        }
        for name, copy in copies.items()
    }


def means(scores, lesions):
    """Table 1: one row a copy, the means of its scores with intervals over lesions (N,)."""
    rows = {
        name: {measure: stats.mean_interval(x, clusters=lesions) for measure, x in own.items()}
        for name, own in scores.items()
    }
    return stats.frame("model", rows)


def gains(scores, new, old, lesions):
    """{measure: Estimate} of the copy `new` minus the copy `old`, paired by image, intervals over lesions."""
    return {
        measure: stats.paired_difference(x, scores[old][measure], measure, lesions)
        for measure, x in scores[new].items()
    }


def second_opinion(originals, copies, lesions, rows):
    """LPIPS with VGG16, a term of the loss, on some rows only: it takes twenty times as long as AlexNet's."""
    net, name = LPIPS("vgg").to(device()), LPIPS.NAMES["vgg"]
    found = {}
    for model, copy in copies.items():
        distance = measures.lpips_distance(net, originals[rows], copy[rows])
        found[model] = {name: stats.mean_interval(distance, clusters=lesions[rows])}
    return stats.frame("model", found)


def as_sets(originals, copies, records, judge, classifier, rows):
    """Copies as a set and by their labels: one row a copy, intervals over lesions.

    records: dx and lesion_id of the originals; judge: a panel.Judge, which compares these rows. Columns:
    model, n, r and the name of the judge's distance, labels flipped (the classifier changes its answer).
    """
    lesions = records.lesion_id.to_numpy()
    chosen = records.dx.to_numpy()[rows], lesions[rows]
    own = judge(originals[rows], *chosen)
    before = probabilities(classifier, originals).argmax(1)
    found, distance = {}, of_features(metrics.frechet_distance, least=0)
    for model, copy in copies.items():
        flipped = probabilities(classifier, copy).argmax(1) != before
        found[model] = {
            "n": len(originals),
            f"r{judge.names[0]}": distance(own, judge(copy[rows], *chosen)),
            "labels flipped": stats.share_interval(flipped, lesions),
        }
    return stats.frame("model", found)


def side_by_side(originals, first, second, enlarged=5):
    """Fig 5, one row an image: (rows of original, both copies, both error maps; circles for grids.grid).

    originals, first, second: uint8 (N, H, W, 3); the region of the largest error of `first` is circled in
    the three pictures; error maps are `enlarged` times brighter than the absolute error in grey levels,
    averaged over the colours.
    """
    grid, circles = [], []
    for row, (image, a, b) in enumerate(zip(originals, first, second, strict=True)):
        errors = [np.abs(image.astype(int) - copy).mean(-1) for copy in (a, b)]
        x, y = measures.worst_region(errors[0])
        circles += [(row, column, float(x), float(y), len(image) / 8) for column in range(3)]
        maps = [np.clip(enlarged * error, 0, 255).astype(np.uint8) for error in errors]
        grid.append([image, a, b, *maps])
    return grid, circles


def channel_losses(stage, originals, copies, lesions, old=4):
    """PSNR lost (dB) when a latent channel is replaced by its mean: one row a channel, intervals over lesions.

    stage: a VAE; copies: what it makes of the originals, uint8 (N, H, W, 3); channels from `old` on are new.
    """
    model, latents = vae.load_vae(stage)
    codes = vae.encode(model, latents, originals)
    whole = measures.psnr(originals, copies)
    rows = {}
    for channel in range(codes.shape[1]):
        cut = codes.clone()
        cut[:, channel] = 0  # the mean of a whitened channel
        without = measures.psnr(originals, vae.decode(model, latents, cut))
        lost = stats.paired_difference(whole, without, clusters=lesions)
        rows[channel] = {"new": channel >= old, "PSNR lost (dB)": lost}
    return stats.frame("channel", rows)
