"""Which stages each notebook asks for, in their order: what a run consists of, before it begins."""

from .. import recipe
from ..core import store
from ..core.config import CLASSES
from ..diffusion import clip, pipeline
from ..interpolation import walks
from ..interpolation.paths import ALPHAS
from ..project import chapters


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
    recipe.trained_again(run, cfg)
    recipe.course(run, cfg)
    if cfg.extras:
        recipe.hair_ways(run, cfg)


def _checks(run, cfg):
    if cfg.extras:
        recipe.rungs(run, cfg)
        recipe.guided(run, cfg)


def _walked(run, cfg):
    """What paths start from, {name of the images: (their stage, rows)}: recipe.sample_walk and true_walk."""
    made, few = recipe.records(run, cfg), range(max(2, cfg.samples // 4))
    own = [c * cfg.samples + i for c in range(len(CLASSES)) for i in few]
    sets = {"images": (recipe.samples(run, cfg, "8ch+ML"), own)}
    if not cfg.real:
        tests = len(CLASSES) * cfg.n_test
        rows = range(0, tests, max(1, tests // 100))  # about as many as there will be
        if (made / "stage.json").exists():
            rows = walks.some_of(made, "test", 100)
        sets["clean"] = made, rows
    return sets


def _interpolation(run, cfg):
    sets = _walked(run, cfg)
    recipe.model(run, cfg, "8ch")
    for spherical in (False, True):
        for name, (made, rows) in sets.items():
            recipe.interpolation(run, cfg, made, rows, spherical=spherical, name=name)
    folder, labels = sets["images"][0], pipeline.plan(cfg.samples)[0]
    parts = [(share, ALPHAS[1:10]) for share in (0.25, 0.5, 0.75)]
    parts += [(0.5, ALPHAS[first : first + 3]) for first in (1, 4, 7)]
    for share, alphas in parts:
        recipe.partly_interpolated(run, cfg, folder, share, alphas, labels=labels)


def _downstream(run, cfg):
    recipe.trained(run, cfg)
    for dose in (0.25, 0.5, 1, 2, 5) if cfg.more_arms else ():
        for arm in ("R3", "RS"):
            recipe.seeds_of_arm(run, cfg, arm, dose=dose)


_IN_ORDER = (recipe.probe, _vae, _diffusion, _generation, _interpolation, _downstream, _checks)
NOTEBOOKS = dict(zip(chapters.NOTEBOOKS, _IN_ORDER, strict=True))


def stages(run, cfg, notebooks=chapters.NOTEBOOKS):
    """Every stage that the notebooks of a run ask for, in their order: {folder: facts}, see store.planning;
    facts["notebook"] is the first one that asks."""
    with store.planning() as found:
        for name in notebooks:
            NOTEBOOKS[name](run, cfg)
            for facts in found.values():
                facts.setdefault("notebook", name)
    return found
