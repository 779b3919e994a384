"""How well autoencoders give images back: Table 1 and Fig 5, and what each latent channel carries."""

import numpy as np
import torch

from .. import phantom
from ..core.machine import device
from ..diffusion import vae
from ..networks.classifiers import probabilities
from ..networks.published import LPIPS
from ..numerics import pixels, stats
from . import measures, metrics, panel
from .distances import of_features

FLOOR = "floor: JPEG, quality 90"
DIFFERENCE = "8ch minus 4ch, both fine-tuned"
ENERGY = [f"energy, {low:g} to {high:g} (dB)" for low, high in measures.BANDS[1:]]


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
            **dict(zip(ENERGY, measures.energy_kept(originals, copy).T, strict=True)),
        }
        for name, copy in copies.items()
    }


def means(scores, lesions):
    """{name of the copy: {measure: Estimate}}: the means of its scores, intervals over lesions (N,)."""
    return {
        name: {measure: stats.mean_interval(x, clusters=lesions) for measure, x in own.items()}
        for name, own in scores.items()
    }


def gains(scores, new, old, lesions):
    """{measure: Estimate} of the copy `new` minus the copy `old`, paired by image, intervals over lesions."""
    return {
        measure: stats.paired_difference(x, scores[old][measure], measure, lesions)
        for measure, x in scores[new].items()
    }


def contrast_kept(stages, n, size):
    """What autoencoders keep of structures that the phantom knows: {structure: {name: Estimate}}, 1 is all of it.

    A lesion is drawn with the structure and without (phantom.pairs), both are sent through and back, and the difference of the copies is
    projected on the difference of the originals. What a decoder invents adds nothing. n: lesions of each
    structure; stages: {name: finished VAE stage}.
    """
    found = {}
    for structure in phantom.STRUCTURES:
        drawn = phantom.pairs(structure, n, size)
        wanted = np.subtract(*drawn, dtype=float)
        found[structure] = {}
        for name, stage in stages.items():
            kept = np.subtract(*(vae.round_trip(stage, images) for images in drawn), dtype=float)
            share = (kept * wanted).sum((1, 2, 3)) / (wanted**2).sum((1, 2, 3))
            found[structure][name] = stats.mean_interval(share)
    return found


def second_opinion(originals, copies, lesions, rows):
    """LPIPS with VGG16, a term of the loss, on some rows only: it takes twenty times as long as AlexNet's."""
    net, name = LPIPS("vgg").to(device()), LPIPS.NAMES["vgg"]
    scores = {
        model: {name: measures.lpips_distance(net, originals[rows], copy[rows])}
        for model, copy in copies.items()
    }
    return stats.frame("model", means(scores, lesions[rows]))


def as_sets(originals, copies, records, judge, classifier, rows, new, old):
    """Copies as a set and by their labels: ({copy: {column: Estimate}}, {column: that of `new` minus that of `old`}).

    records: dx and lesion_id of the originals; judge: a panel.Judge, which compares these rows. Columns:
    r and the name of the judge's distance, labels flipped (the classifier changes its answer), intervals
    over lesions. The difference is paired: the same originals and the same groups of lesions.
    """
    lesions = records.lesion_id.to_numpy()
    chosen, name = (records.dx.to_numpy()[rows], lesions[rows]), f"r{judge.names[0]}"
    own, distance = judge(originals[rows], *chosen), of_features(metrics.frechet_distance, least=0)
    before = probabilities(classifier, originals).argmax(1)
    sets = {model: judge(copy[rows], *chosen) for model, copy in copies.items()}
    flips = {model: probabilities(classifier, x).argmax(1) != before for model, x in copies.items()}
    found = {
        model: {
            name: distance(own, sets[model]),
            "labels flipped": stats.share_interval(flips[model], lesions),
        }
        for model in copies
    }
    return found, {
        name: panel.fd_difference(own, sets[new], sets[old]),
        "labels flipped": stats.paired_difference(flips[new], flips[old], clusters=lesions),
    }


def table(scores, sets, differences, lesions):
    """Table 1: one row a copy, its means and what it is as a set (`as_sets`), and a last row of differences.

    scores: of `measured`; differences: {column: Estimate} of 8 minus 4 channels, paired by image.
    """
    rows = {name: own | sets[name] for name, own in means(scores, lesions).items()}
    return stats.frame("model", rows | {DIFFERENCE: differences})


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


def _without_each(model, latents, codes):
    """Images decoded from whitened latents (N,C,h,w) with one channel after the other replaced by its mean."""
    for channel in range(codes.shape[1]):
        cut = codes.clone()
        cut[:, channel] = 0  # the mean of a whitened channel
        yield vae.decode(model, latents, cut)


def channel_losses(stage, originals, copies, lesions, old=4):
    """PSNR lost (dB) when a latent channel is replaced by its mean: one row a channel, intervals over lesions.

    stage: a VAE; copies: what it makes of the originals, uint8 (N, H, W, 3); channels from `old` on are new.
    """
    model, latents = vae.load_vae(stage)
    codes = vae.encode(model, latents, originals)
    whole, rows = measures.psnr(originals, copies), {}
    for channel, image in enumerate(_without_each(model, latents, codes)):
        lost = stats.paired_difference(whole, measures.psnr(originals, image), clusters=lesions)
        rows[channel] = {"new": "yes" if channel >= old else "no", "PSNR lost (dB)": lost}
    return stats.frame("channel", rows)


def new_channels_loss(stage, originals, copies, lesions, old=4):
    """PSNR lost (dB) when all channels from `old` on are replaced by their means at once (Estimate): what several
    carry together none loses alone. Arguments as of `channel_losses`."""
    model, latents = vae.load_vae(stage)
    codes = vae.encode(model, latents, originals)
    codes[:, old:] = 0  # the mean of a whitened channel
    cut = vae.decode(model, latents, codes)
    pair = (measures.psnr(originals, images) for images in (copies, cut))
    return stats.paired_difference(*pair, clusters=lesions)


def needs(stage, images):
    """(C,) mean squared error that each latent channel of a VAE spares the copy; images: not those tested on."""
    model, latents = vae.load_vae(stage)
    codes = vae.encode(model, latents, images)
    whole = measures.mse(images, vae.decode(model, latents, codes)).mean()
    without = [measures.mse(images, x).mean() for x in _without_each(model, latents, codes)]
    return np.maximum(np.array(without) - whole, 0)


def _entropy(steps):
    """Bits that whole numbers (N,C,h,w) take an image: their entropy, each channel by itself."""
    total = 0.0
    for channel in steps.unbind(1):
        share = channel.unique(return_counts=True)[1] / channel.numel()
        total -= float((share * share.log2()).sum()) * channel[0].numel()
    return total


def rounded(codes, need, bits):
    """(whitened latents (N,C,h,w) rounded so that an image takes about `bits`, the bits it takes).

    need: (C,) of `needs`, or ones: a channel's steps are as wide as the root of its need is small. bits: the
    entropy of the rounded values, which a good code comes near.
    """
    fine = torch.as_tensor(np.sqrt(need / np.max(need)), dtype=codes.dtype).view(1, -1, 1, 1)
    scaled, low, high = codes * fine, 2.0**-12, 2.0**6  # widths of a step, in standard deviations
    for _ in range(24):
        width = (low * high) ** 0.5
        steps = (scaled / width).round()
        taken = _entropy(steps)
        low, high = (width, high) if taken > bits else (low, width)
    return steps * width / fine.clamp_min(1e-6), taken


def at_equal_bits(originals, stages, need, lesions, budgets):
    """Width against size: two autoencoders whose latents are rounded to equally many bits an image.

    originals: uint8 (N, H, W, 3); stages: {name: VAE stage}, the wider last; need: {name: (C,)} of `needs`;
    budgets: bits for each place of the latent. Rows: not rounded; for each budget, all channels alike and
    each by its need. {row: {"bits an image": number, measure of Table 1: Estimate}}, the wider autoencoder
    minus the other, paired by image, intervals over lesions.
    """
    loaded = {name: vae.load_vae(stage) for name, stage in stages.items()}
    codes = {name: vae.encode(*own, originals) for name, own in loaded.items()}
    alike = {name: np.ones(x.shape[1]) for name, x in codes.items()}
    kinds = {"all channels alike": alike, "each channel by its need": need}
    ways = {f"{b} bits a place, {how}": (b, own) for b in budgets for how, own in kinds.items()}
    (old, new), rows = stages, {}
    for way, (budget, own) in ({"not rounded": (None, None)} | ways).items():
        made, taken = codes, np.nan
        if budget:
            taken = budget * codes[old][0, 0].numel()
            made = {name: rounded(x, own[name], taken)[0] for name, x in codes.items()}
        copies = {name: vae.decode(*loaded[name], x) for name, x in made.items()}
        rows[way] = {"bits an image": taken} | gains(measured(originals, copies), new, old, lesions)
    return rows


def width_or_size(equal, measure):
    """What a gain of 8 channels is owed to, in one sentence.

    equal: rows of `at_equal_bits`, of which "by its need" decides; measure: one where less is better.
    """
    fair = [(way, row[measure]) for way, row in equal.items() if "need" in way]
    if not equal["not rounded"][measure].high < 0:
        return f"{measure}: on the images of this comparison no gain of 8 channels is clear, so there is none to explain."
    stays = [way.partition(" bits")[0] for way, gain in fair if gain.high < 0]
    lost = [way.partition(" bits")[0] for way, gain in fair if not gain.high < 0]
    said = []
    if stays:
        said.append(
            f"stays at {' and '.join(stays)} bits a place for both models, so the number of bits does not explain it"
        )
    if lost:
        said.append(
            f"is not found at {' and '.join(lost)} bits a place for both models, where size may explain it"
        )
    return f"{measure}: the gain of 8 channels {'; it '.join(said)}."
