"""How the stages follow from a configuration: the one place that wires them together."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from .core.config import CLASSES, PROFILES
from .core.errors import UserError
from .core.store import atomic
from .core.versions import VERSIONS, ladder
from .data import layouts, sets
from .diffusion import clip, denoiser, pipeline, vae
from .downstream import classify
from .evaluation import fillings, panel, planting
from .evaluation.compared import Compared, pictures
from .interpolation import inpaint, paths, segment, walks
from .interpolation.paths import ALPHAS
from .networks import bundled, classifiers, weights
from .numerics import pixels
from .numerics.arrays import load_array, records_of
from .pretrain import models, skin

MODELS = {  # column of Tables 2 and 5: (its VAE, whether it has multi-level adapters)
    "baseline": ("pretrained", False),
    "4ch": ("4ch", False),
    "8ch": ("8ch", False),
    "8ch+ML": ("8ch", True),
}
MODES = ("none", "train", "class-mean")  # what serves as reference image


def check(cfg):
    """Raise UserError where a network that is not the profile's own cannot be used here."""
    if cfg.backbone != PROFILES[cfg.profile].backbone:
        for name in cfg.backbones:
            classifiers.try_backbone(name, cfg.size)
    if cfg.inpainter == "lama":
        weights.require("lama")


def records(run, cfg):
    """The dermatoscopic set: arrays, records with the split, manifest."""
    return sets.load_set(run, cfg)


def clinical(run, cfg):
    return sets.load_set(run, cfg, "pad")


def others(run, cfg):
    """Sets that classifiers are tested on without training: {name: stage}; isic where the user has it."""
    isic = cfg.real and (Path(cfg.data) / "isic2018_test").is_dir()
    return {name: sets.load_set(run, cfg, name) for name in ("pad", *["isic"] * isic)}


def training_images(run, cfg, dehair=True):
    return sets.training_images(run, images=records(run, cfg), dehair=dehair)


def load_clip(cfg):
    return clip.load_clip(bundled.named(cfg.clip, "clip"))


def tokens(run, cfg):
    return clip.cache_tokens(
        run,
        clip=bundled.named(cfg.clip, "clip"),
        images=training_images(run, cfg),
        patches=cfg.patches,
    )


def base(run, cfg):
    """The pre-trained 4-channel model, in diffusers' layout: (where its VAE lies, where its UNet lies)."""
    if cfg.base != "scratch":
        return (bundled.named(cfg.base, "diffusion"),) * 2
    training = dict(width=cfg.width, steps=cfg.pretrain_steps, batch=cfg.batch, seed=cfg.seed)
    n = min(12288, 16 * cfg.pretrain_steps)
    seen = skin.generic_skin(run, n=n, size=cfg.size, seed=cfg.seed)
    start = models.pretrain_vae(run, generic=seen, **training)
    latents = vae.cache_latents(run, vae=start, images=seen)
    return start, models.pretrain_unet(run, latents=latents, generic=seen, **training)


def autoencoder(run, cfg, kind):
    """kind: "pretrained" (4 channels, untouched), "4ch" or "8ch" (both fine-tuned, equal steps)."""
    given = dict(images=training_images(run, cfg), records=records(run, cfg))
    start = vae.pretrained_vae(run, start=base(run, cfg)[0], **given)
    if kind == "pretrained":
        return start
    return vae.train_vae(
        run,
        start=start,
        channels=dict([("4ch", 4), ("8ch", 8)])[kind],
        steps=cfg.vae_steps,
        lr=cfg.vae_lr,
        batch=cfg.batch // 2,
        accumulate=cfg.accumulate,
        seed=cfg.seed,
        **given,
    )


def model(run, cfg, name, how=None):
    """A denoiser stage of MODELS; how: a Method, by default the version that cfg names."""
    how = how or VERSIONS[cfg.version]
    kind, levels = MODELS[name]
    own = autoencoder(run, cfg, kind)
    return denoiser.train_denoiser(
        run,
        start=base(run, cfg)[1],
        vae=own,
        records=records(run, cfg),
        latents=vae.cache_latents(
            run, vae=own, images=training_images(run, cfg, how.dehair), whiten=how.whiten
        ),
        tokens=tokens(run, cfg) if levels else None,
        how=how.training,
        steps=cfg.unet_steps,
        lr=cfg.unet_lr,
        batch=cfg.batch,
        accumulate=cfg.accumulate,
        seed=cfg.seed,
    )


def samples(
    run,
    cfg,
    name,
    *,
    n=None,
    guidance=None,
    mode=None,
    no_class=False,
    first=0,
    how=None,
    classes=CLASSES,
    strength=1.0,
    without=(),
):
    """A folder of samples: by default cfg.samples of each class at cfg.guidance.

    mode of the references: "train" by default for the model with adapters, else "none". no_class
    drops the class token and keeps the references; first is the number of the first seed; strength,
    without: of the adapters, see pipeline.SkinPipeline.
    """
    how = how or VERSIONS[cfg.version]
    labels, seeds = pipeline.plan(n or cfg.samples, classes, first_seed=cfg.seed * 100_000 + first)
    levels = MODELS[name][1] and how.adapters_on
    return pipeline.sample(
        run,
        model=model(run, cfg, name, how),
        vae=autoencoder(run, cfg, MODELS[name][0]),
        labels=["none"] * len(labels) if no_class else labels,
        seeds=seeds,
        reference_labels=labels,
        guidance=cfg.guidance if guidance is None else float(guidance),
        steps=how.steps or cfg.sampling_steps,
        solver=how.solver,
        eta=how.eta,
        pass_class=how.pass_class,
        reference_scale=how.reference_scale,
        stretch=how.stretch,
        strength=float(strength),
        without=list(without),
        mode=mode or ("train" if levels else "none"),
        tokens=tokens(run, cfg) if levels else None,
        records=records(run, cfg),
        seed=cfg.seed,
    )


def adapter_settings(run, cfg, n, strengths, levels):
    """Samples of 8ch+ML from the same seeds, the adapters set in several ways: {setting: folder}.

    n: of each class. First the strengths, of which 1 is as trained, then each CLIP level left out in turn;
    levels: numbers that name them. Adapters act in every version here, also where it samples without.
    """
    ways = {f"strength {k:g}": dict(strength=k) for k in strengths}
    ways |= {f"without level {k}": dict(without=(i,)) for i, k in enumerate(levels)}
    how = replace(VERSIONS[cfg.version], adapters_on=True)
    return {k: samples(run, cfg, "8ch+ML", n=n, how=how, **way) for k, way in ways.items()}


def reference_modes(run, cfg):
    """Further samples of 8ch+ML, other references: {name in the tables: folder}; all only with cfg.extras."""
    modes = ("none", "class-mean") if cfg.extras else ("none",)
    sets = {f"8ch+ML, references: {m}": samples(run, cfg, "8ch+ML", mode=m) for m in modes}
    if cfg.extras:
        alike = replace(VERSIONS[cfg.version], reference_scale=cfg.guidance)
        sets["8ch+ML, reference guided like the class"] = samples(run, cfg, "8ch+ML", how=alike)
    return sets


def rungs(run, cfg):
    """Samples of 8ch+ML at each rung of versions.ladder() of at most cfg.longest sampling steps: {rung: folder}.

    Every model is trained for cfg.rung_steps steps, where that is set.
    """
    short = replace(cfg, unet_steps=cfg.rung_steps or cfg.unet_steps)
    climbed = {name: how for name, how in ladder() if how.steps <= cfg.longest}
    return {name: samples(run, short, "8ch+ML", how=how) for name, how in climbed.items()}


def guided(run, cfg, scales=(1, 1.5, 2, 3, 5, 7)):
    """{guidance scale: (samples of 8ch+ML, a classifier trained on nothing but them)}."""
    sets = {g: samples(run, cfg, "8ch+ML", guidance=g) for g in scales}
    return {g: (folder, classifier(run, cfg, "S", 0, folder)) for g, folder in sets.items()}


def guidance_rows(run, cfg, scales):
    """Fewer samples of 8ch+ML from the same seeds (Fig 10): without class, and with it at scales of guidance.

    Returns {row: folder}; "no class" drops the class token and keeps the references, "unconditional"
    drops both.
    """
    rows = {
        "unconditional": dict(no_class=True, mode="none", guidance=1),
        "no class": dict(no_class=True, guidance=3),
        **{f"guidance {scale:g}": dict(guidance=scale) for scale in scales},
    }
    few = max(2, cfg.samples // 3)
    return {row: samples(run, cfg, "8ch+ML", n=few, **how) for row, how in rows.items()}


def compared(run, cfg, names=tuple(MODELS), **choices):
    """Samples of models beside the originals, as evaluation/compared.py; choices: as in `samples`.

    Raises UserError where a generator may have seen test lesions.
    """
    made, folders = records(run, cfg), {n: samples(run, cfg, n, **choices) for n in names}
    for folder in folders.values():
        pipeline.provenance_check(folder, made)
    return Compared(
        panel.Judge(run),
        records_of(made),
        load_array(made / "images.npy"),
        pictures(folders),
        pd.read_csv(folders[names[-1]] / "metadata.csv"),
        cfg.seed,
    )


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


def probe(run, cfg):
    """The independent judge of label fidelity: trained on real train images only."""
    return classifiers.train_probe(
        run,
        images=records(run, cfg),
        records=records(run, cfg),
        backbone=cfg.backbones[0],
        start=weights.backbone(cfg.backbones[0]),
        steps=2 * cfg.classify_steps,
        batch=cfg.batch // 2,
        seed=cfg.seed + 77,
    )


def judged(run, cfg):
    """What each measure sees of planted faults: judges.csv."""
    return planting.plant(
        run,
        records=records(run, cfg),
        probe=probe(run, cfg),
        n=cfg.samples,
        seed=cfg.seed,
        embedded=clip.cache_embeddings(
            run, clip=bundled.named(cfg.clip, "clip"), images=records(run, cfg)
        ),
    )


def segmenter(run, cfg):
    return segment.train_segmenter(
        run,
        start=bundled.bundled("segmenter"),
        images=records(run, cfg),
        records=records(run, cfg),
        steps=cfg.segment_steps,
        batch=cfg.batch // 4,
        seed=cfg.seed,
    )


def interpolation(run, cfg, folder, rows, **choices):
    """The workflow of Fig 4 on rows of a folder of samples, through the 8-channel VAE."""
    return paths.interpolate(
        run,
        vae=autoencoder(run, cfg, "8ch"),
        segmenter=segmenter(run, cfg),
        samples=folder,
        rows=[int(r) for r in rows],
        inpainter=inpainter(cfg),
        **choices,
    )


def inpainter(cfg):
    """Name of the method that makes pseudo-normal skin."""
    return inpaint.best() if cfg.inpainter == "best" else cfg.inpainter


def partly_interpolated(run, cfg, folder, share=0.5, alphas=ALPHAS[1:-1], labels=None):
    """AI of Table 6: the last `share` of each class's samples, moved along their paths.

    labels: classes of the samples, by default those of the folder.
    """
    classes = pd.Series(labels or pd.read_csv(folder / "metadata.csv")["class"])
    kept = (1 - share) * classes.groupby(classes).transform("size")
    rows = np.flatnonzero(classes.groupby(classes).cumcount() >= np.floor(kept)).tolist()
    return paths.partly_interpolated(
        run,
        vae=autoencoder(run, cfg, "8ch"),
        segmenter=segmenter(run, cfg),
        samples=folder,
        rows=rows,
        alphas=list(alphas),
        inpainter=inpainter(cfg),
    )


def sample_walk(run, cfg, spherical=False):
    """Paths of a quarter of the samples of each class, as interpolation/walks.py."""
    folder = samples(run, cfg, "8ch+ML")
    rows = walks.some_of_each(folder, max(2, cfg.samples // 4))
    return walks.of_samples(
        interpolation(run, cfg, folder, rows, spherical=spherical), folder, rows
    )


def true_walk(run, cfg, spherical=False):
    """Paths of about 100 of the phantom's test images without their hair."""
    made = records(run, cfg)
    rows = walks.some_of(made, "test", 100)
    walked = interpolation(run, cfg, made, rows, spherical=spherical, name="clean")
    return walks.of_truth(walked, made, rows)


def all_walks(run, cfg):
    """Both kinds of interpolation, of samples and, where the true skin is known, of test images:
    {(of what, interpolation): Walk}."""
    sets = {"samples": sample_walk}
    if walks.has_truth(records(run, cfg)):
        sets["phantom test images"] = true_walk
    kinds = {"linear": False, "spherical": True}
    return {(n, k): make(run, cfg, how) for n, make in sets.items() for k, how in kinds.items()}


def filled(run, cfg):
    """Test images painted over by every method, as evaluation/fillings.py; None where no true skin is known."""
    made = records(run, cfg)
    if not walks.has_truth(made):
        return None
    pipe = pipeline.load_pipeline(model(run, cfg, "8ch"), autoencoder(run, cfg, "8ch"))
    choices = dict(seed=cfg.seed, steps=cfg.sampling_steps)
    return fillings.paint(made, segmenter(run, cfg), pipe, inpainter(cfg), **choices)


def random_and_interpolated(run, cfg):
    """The sets of Table 6: {"A", "AI", "control": uint8 (N,H,W,3)}, and which rows (N,) bool are moved in AI.

    In the control the same rows pass through the autoencoder only.
    """
    folder = samples(run, cfg, "8ch+ML")
    mixed = partly_interpolated(run, cfg, folder)
    moved = pd.read_csv(mixed / "metadata.csv").alpha.notna().to_numpy()
    random, interpolated = (load_array(f / "images.npy") for f in (folder, mixed))
    control = np.array(random)
    control[moved] = vae.round_trip(autoencoder(run, cfg, "8ch"), random[moved])
    return {"A": random, "AI": interpolated, "control": control}, moved


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
        if not layouts.same_aspect(found.shape[1::-1], image.shape[1::-1]):
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


def synthetic(run, cfg, arm="RS", dose=1.0):
    """What an arm of classify.ARMS adds to the originals: 3 dose cfg.samples images of each class."""
    if arm not in classify.ARMS:
        raise UserError(f"unknown arm {arm!r}; known: {', '.join(classify.ARMS)}")
    n = max(2, round(3 * dose * cfg.samples))
    if arm == "O" and cfg.real:
        raise UserError("arm O needs fresh images of known truth: only the phantom has them")
    if arm == "O":
        return sets.fresh_phantom(run, n=n, size=cfg.size, seed=cfg.seed, records=records(run, cfg))
    folder = samples(run, cfg, "8ch+ML", n=n, first=50_000)
    labels = pipeline.plan(n)[0]
    return partly_interpolated(run, cfg, folder, labels=labels) if arm == "RSI" else folder


def linear_probe(run, cfg, arm, samples):
    """The second classifier of Tables 3 and 4: a linear one on frozen features."""

    def features(made):
        return panel.cache_features(run, images=made)

    made = records(run, cfg)
    return classify.linear_probe(
        run,
        arm=arm,
        records=made,
        samples=samples,
        seed=cfg.seed,
        embedded=dict(records=features(made), samples=features(samples)),
        others={name: features(other) for name, other in others(run, cfg).items()},
    )


def classifier(run, cfg, arm, seed, samples, network=None):
    """One classifier of Tables 3 and 4: arm of classify.ARMS, seed 0, 1, ...; network: a timm name."""
    network = network or cfg.backbones[0]
    return classify.train_arm(
        run,
        arm=arm,
        images=records(run, cfg),
        records=records(run, cfg),
        samples=samples,
        vae=autoencoder(run, cfg, "8ch"),
        others=others(run, cfg),
        backbone=network,
        start=weights.backbone(network),
        steps=cfg.classify_steps,
        batch=cfg.batch // 2,
        seed=cfg.seed + seed,
    )


def arms(cfg):
    """Arms of classify.ARMS that chapter 6 compares, those of Tables 3 and 4 first."""
    more = ["R2", "R4", "RSA", "RSI", *["O"] * (not cfg.real)] if cfg.extras else []
    return [*classify.PAPER_COLUMNS, "R1", "R3", *more]


def seeds_of_arm(run, cfg, arm, network=None, dose=1.0):
    """Classifiers of one arm, one for each seed: a list of stages; dose: as in `synthetic`."""
    added = synthetic(run, cfg, arm, dose)
    return [classifier(run, cfg, arm, k, added, network) for k in range(cfg.classifier_seeds)]


def trained(run, cfg):
    """All classifiers of chapter 6: {name in the tables: {arm: [stage of each seed]}}.

    The first network is trained in every arm, the others in those of Tables 3 and 4.
    """
    found = {}
    for network in cfg.backbones:
        start = "pre-trained" if weights.backbone(network) else "from scratch"
        which = classify.PAPER_COLUMNS if found else arms(cfg)
        found[f"{network} ({start}), {cfg.classifier_seeds} seeds"] = {
            arm: seeds_of_arm(run, cfg, arm, network) for arm in which
        }
    found["linear on frozen EfficientNet-Lite0"] = {
        arm: [linear_probe(run, cfg, arm, synthetic(run, cfg, arm))]
        for arm in classify.PAPER_COLUMNS
    }
    return found
