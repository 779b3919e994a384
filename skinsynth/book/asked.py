"""Which stages each notebook asks for, in their order: what a run consists of, before it begins."""

from dataclasses import replace

import numpy as np

from .. import recipe
from ..core import store
from ..core.config import CLASSES
from ..core.versions import VERSIONS
from ..diffusion import clip, pipeline
from ..interpolation.paths import ALPHAS
from ..numerics import arrays
from ..project import chapters


def _walks(made, cfg, finished):
    """Rows of the sets whose paths notebook 05 draws: (samples, phantom's test images or None)."""
    few = max(2, cfg.samples // 4)
    own = [c * cfg.samples + i for c in range(len(CLASSES)) for i in range(few)]
    if cfg.real:
        return own, None
    if not finished:
        return own, list(
            range(0, len(CLASSES) * cfg.n_test, max(1, len(CLASSES) * cfg.n_test // 100))
        )
    test = np.flatnonzero(arrays.records_of(made).split == "test")
    return own, test[:: max(1, len(test) // 100)].tolist()


def _data(run, cfg):
    recipe.records(run, cfg)
    recipe.probe(run, cfg)


def _vae(run, cfg):
    for kind in ("pretrained", "4ch", "8ch"):
        recipe.autoencoder(run, cfg, kind)
    recipe.judged(run, cfg)


def _diffusion(run, cfg):
    for name in recipe.MODELS:
        recipe.model(run, cfg, name)
    recipe.adapter_settings(run, cfg, max(3, cfg.samples // 9), (0, 0.5, 1), clip.PAPER_LEVELS)


def _generation(run, cfg):
    for name in recipe.MODELS:
        recipe.samples(run, cfg, name)
    recipe.reference_modes(run, cfg)
    recipe.segmenter(run, cfg)
    recipe.clinical(run, cfg)
    recipe.guidance_rows(run, cfg, (1, 3, 5))
    if cfg.extras:
        recipe.samples(run, cfg, "8ch", how=replace(VERSIONS[cfg.version], dehair=False))


def _checks(run, cfg):
    if cfg.extras:
        recipe.rungs(run, cfg)
        recipe.guided(run, cfg)


def _interpolation(run, cfg):
    made, folder = recipe.records(run, cfg), recipe.samples(run, cfg, "8ch+ML")
    own, truth = _walks(made, cfg, (made / "stage.json").exists())
    recipe.model(run, cfg, "8ch")
    for spherical in (False, True):
        recipe.interpolation(run, cfg, folder, own, spherical=spherical)
        if truth:
            recipe.interpolation(run, cfg, made, truth, spherical=spherical, name="clean")
    labels = pipeline.plan(cfg.samples)[0]
    whole = ALPHAS[1:-1]
    choices = [(share, whole) for share in (0.25, 0.5, 0.75)]
    for share, alphas in choices + [
        (0.5, ALPHAS[a:b]) for a, b in ((1, 4), (4, 7), (7, 10))
    ]:
        recipe.partly_interpolated(run, cfg, folder, share, alphas, labels=labels)


def _downstream(run, cfg):
    recipe.trained(run, cfg)
    for dose in (0.25, 0.5, 1, 2, 5) if cfg.extras else ():
        for arm in ("R3", "RS"):
            recipe.seeds_of_arm(run, cfg, arm, dose=dose)


NOTEBOOKS = dict(
    zip(
        chapters.NOTEBOOKS,
        (_data, _vae, _diffusion, _generation, _interpolation, _downstream, _checks),
        strict=True,
    )
)


def stages(run, cfg, notebooks=chapters.NOTEBOOKS):
    """Every stage that the notebooks of a run ask for, in their order: {folder: facts}, see store.planning;
    facts["notebook"] is the first one that asks."""
    with store.planning() as found:
        for name in notebooks:
            NOTEBOOKS[name](run, cfg)
            for facts in found.values():
                facts.setdefault("notebook", name)
    return found
