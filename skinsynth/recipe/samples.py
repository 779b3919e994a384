"""Samples of the models, and the sets of them that the chapters compare."""

from dataclasses import replace

import pandas as pd

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.versions import VERSIONS, ladder
from ..diffusion import pipeline
from ..evaluation import panel
from ..evaluation.compared import Compared, pictures
from ..evaluation.distances import UNSHOWN
from ..numerics.arrays import load_array, records_of
from .images import records, tokens
from .models import MODELS, autoencoder, model
from .shipped import is_shipped

MODES = ("none", "train", "class-mean")  # what serves as reference image


def samples(
    run,
    cfg,
    name,
    *,
    n=None,
    classes=CLASSES,
    first=0,
    how=None,
    guidance=None,
    mode=None,
    training=0,
    **given,
):
    """A folder of samples: by default cfg.samples of each class at cfg.guidance.

    first: number of the first seed; how: a Method, by default the version that cfg names; mode of the
    references: "train" by default for the model with adapters, else "none"; training: as in `model`; given: further inputs of
    pipeline.sample, such as other labels than those of the references, or strength and without.
    """
    how = how or VERSIONS[cfg.version]
    labels, seeds = pipeline.plan(n or cfg.samples, classes, first_seed=cfg.seed * 100_000 + first)
    levels = how.adapters_on and MODELS[name][1]
    reference = dict(mode=mode or ("train" if levels else "none"), labels=labels, seed=cfg.seed)
    reference |= dict(tokens=tokens(run, cfg) if levels else None, records=records(run, cfg))
    return pipeline.sample(
        run,
        model=model(run, cfg, name, how, training),
        vae=autoencoder(run, cfg, MODELS[name][0]),
        seeds=seeds,
        guidance=cfg.guidance if guidance is None else float(guidance),
        steps=how.steps or cfg.sampling_steps,
        how=how.sampling,
        reference=reference,
        **dict(labels=labels) | given,
    )


def adapter_settings(run, cfg, n, strengths, levels):
    """Samples of 8ch+ML from the same seeds, the adapters set in several ways: {setting: folder}.

    n: of each class. First the strengths, of which 1 is as trained, then each CLIP level left out in turn;
    levels: numbers that name them. Adapters act in every version here, also where it samples without.
    """
    ways = {f"strength {k:g}": dict(strength=float(k)) for k in strengths}
    ways |= {f"without level {k}": dict(without=[i]) for i, k in enumerate(levels)}
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


def hair_ways(run, cfg):
    """Samples of two 8ch, the hair of the images that they learn from taken out or left in: {way: folder}.

    Both are trained here, and so for equally long.
    """
    here, ways = replace(cfg, trained=False), {"taken out": True, "left in": False}
    how = {way: replace(VERSIONS[cfg.version], dehair=out) for way, out in ways.items()}
    return {way: samples(run, here, "8ch", how=method) for way, method in how.items()}


def rungs(run, cfg):
    """Samples of 8ch+ML at each rung of versions.ladder() of at most cfg.longest sampling steps: {rung: folder}.

    Every model is trained here and for equally long: cfg.rung_steps steps, where that is set.
    """
    short = replace(cfg, trained=False, unet_steps=cfg.rung_steps or cfg.unet_steps)
    climbed = {name: how for name, how in ladder() if how.steps <= cfg.longest}
    return {name: samples(run, short, "8ch+ML", how=how) for name, how in climbed.items()}


def guidance_rows(run, cfg, scales):
    """Fewer samples of 8ch+ML from the same seeds (Fig 10): without class, and with it at scales of guidance.

    Returns {row: folder}; "no class" drops the class token and keeps the references, "guidance 3, no
    reference" the reverse, "unconditional" drops both.
    """
    few = max(2, cfg.samples // 3)
    no_class = ["none"] * (few * len(CLASSES))
    rows = {
        "unconditional": dict(labels=no_class, mode="none", guidance=1),
        "no class": dict(labels=no_class, guidance=3),
        "guidance 3, no reference": dict(mode="none", guidance=3),
        **{f"guidance {scale:g}": dict(guidance=scale) for scale in scales},
    }
    return {row: samples(run, cfg, "8ch+ML", n=few, **how) for row, how in rows.items()}


def beside_originals(run, cfg, pixels, meta):
    """Samples {name: uint8 (M,H,W,3)} beside the originals of cfg, as evaluation/compared.py."""
    made = records(run, cfg)
    images = load_array(made / "images.npy")
    return Compared(panel.Judge(run), records_of(made), images, pixels, meta, cfg.seed)


def of_models(run, cfg, **choices):
    """Samples of MODELS and, last, of 8ch+ML without reference images: {name in the tables: folder}; choices: of `samples`."""
    sets = {name: samples(run, cfg, name, **choices) for name in MODELS}
    return sets | {UNSHOWN: samples(run, cfg, "8ch+ML", mode="none", **choices)}


def trained_again(run, cfg):
    """`of_models` of each further training of them, a list.

    Raises UserError where the first was not trained here, and so for another number of steps.
    """
    if cfg.generator_seeds > 1 and is_shipped(model(run, cfg, "8ch")):
        fault = "generator_seeds trains again for unet_steps, the package's generators were trained for longer"
        raise UserError(f"{fault}; set trained = False too")
    return [of_models(run, cfg, training=k) for k in range(1, cfg.generator_seeds)]


def compared(run, cfg, folders=None):
    """Samples of MODELS, or of other folders {name: stage}, beside the originals.

    Raises UserError where a generator may have seen test lesions.
    """
    folders = folders or {name: samples(run, cfg, name) for name in MODELS}
    for folder in folders.values():
        pipeline.provenance_check(folder, records(run, cfg))
    meta = pd.read_csv(folders["8ch+ML"] / "metadata.csv")
    return beside_originals(run, cfg, pictures(folders), meta)
