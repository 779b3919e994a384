"""The arms of chapter 6: what each adds to the originals, and its classifiers."""

from ..core.errors import UserError
from ..core.store import Stage
from ..data import layouts, sets
from ..diffusion import pipeline
from ..downstream import classify
from ..evaluation import panel
from ..networks import weights
from ..networks.table import NETWORKS
from .images import others, records
from .models import autoencoder, classifying
from .paths import partly_interpolated
from .samples import samples


def synthetic(run, cfg, arm="RS", dose=1.0):
    """What an arm of classify.ARMS adds to the originals: 3 dose cfg.samples images of each class, as a folder or,
    where originals are repeated, their number; None of arms that add nothing."""
    if arm not in classify.ARMS:
        raise UserError(f"unknown arm {arm!r}; known: {', '.join(classify.ARMS)}")
    n = max(2, round(3 * dose * cfg.samples))
    if arm in ("R0", "R1", "R2"):
        return None
    if arm in ("R3", "R4"):
        return n
    if arm == "O" and cfg.real:
        raise UserError("arm O needs fresh images of known truth: only the phantom has them")
    if arm == "O":
        return sets.fresh_phantom(run, n=n, size=cfg.size, seed=cfg.seed, records=records(run, cfg))
    folder = samples(run, cfg, "8ch+ML", n=n, first=50_000)
    labels = pipeline.plan(n)[0]
    return partly_interpolated(run, cfg, folder, labels=labels) if arm == "RSI" else folder


def linear_probe(run, cfg, arm, samples):
    """The second classifier of Tables 3 and 4: a linear one on frozen features."""
    made = dict(records=records(run, cfg), samples=samples)
    images = {k: folder for k, folder in made.items() if isinstance(folder, Stage)}
    embedded = {k: panel.cache_features(run, images=folder) for k, folder in images.items()}
    tests = {k: panel.cache_features(run, images=other) for k, other in others(run, cfg).items()}
    given = dict(embedded=embedded, others=tests, seed=cfg.seed)
    return classify.linear_probe(run, arm=arm, **made, **given)


def classifier(run, cfg, arm, seed, samples, network=None):
    """One classifier of Tables 3 and 4: arm of classify.ARMS, seed 0, 1, ...; samples: of `synthetic`; network: a timm name."""
    given = classifying(run, cfg, network or cfg.backbones[0], seed)
    given |= dict(vae=autoencoder(run, cfg, "8ch") if arm == "R4" else None)
    given |= dict(others=others(run, cfg))
    return classify.train_arm(run, arm=arm, samples=samples, **given)


def guided(run, cfg, scales=(1, 1.5, 2, 3, 5, 7)):
    """{guidance scale: (samples of 8ch+ML, a classifier trained on nothing but them)}."""
    sets = {g: samples(run, cfg, "8ch+ML", guidance=g) for g in scales}
    return {g: (folder, classifier(run, cfg, "S", 0, folder)) for g, folder in sets.items()}


def arms(cfg):
    """Arms of classify.ARMS that chapter 6 compares, those of Tables 3 and 4 first."""
    more = ["R2", "R4", "RSA", "RSI", *["O"] * (not cfg.real)] if cfg.more_arms else []
    return [*classify.PAPER_COLUMNS, "R1", "R3", *more]


def seeds_of_arm(run, cfg, arm, network=None, dose=1.0):
    """Classifiers of one arm, one for each seed: a list of stages; dose: as in `synthetic`."""
    added = synthetic(run, cfg, arm, dose)
    return [classifier(run, cfg, arm, k, added, network) for k in range(cfg.classifier_seeds)]


def listed(run, cfg):
    """(clinical images that the data folder's table lists, those of them that have a file)."""
    found, _ = layouts.scan_pad(cfg.data or sets.data_folder(run, cfg)[0])
    return len(found) + found.attrs["missing"], len(found)


def start_of(network):
    """What a timm network starts from, in words: whose weights, or none."""
    if not weights.backbone(network):
        return "random start"
    known = network in NETWORKS or network == "tf_efficientnet_lite0"
    return "ImageNet weights" if known else f"weights of timm/{network}"


def trained(run, cfg):
    """All classifiers of chapter 6: {name in the tables: {arm: [stage of each seed]}}.

    The first network is trained in every arm, the others in those of Tables 3 and 4.
    """
    found, columns = {}, classify.PAPER_COLUMNS
    for network in cfg.backbones:
        runs = f"{cfg.classifier_seeds} training run{'s' * (cfg.classifier_seeds > 1)}"
        name = f"{network} ({start_of(network)}), {runs}"
        which = columns if found else arms(cfg)
        found[name] = {arm: seeds_of_arm(run, cfg, arm, network) for arm in which}
    linear = {arm: [linear_probe(run, cfg, arm, synthetic(run, cfg, arm))] for arm in columns}
    return found | {"linear on frozen EfficientNet-Lite0 (ImageNet weights)": linear}
