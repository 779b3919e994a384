"""The generators that come with the package, and whom they serve."""

from dataclasses import replace

from ..core.config import configure
from ..core.store import planning, read_json
from ..networks.bundled import FOLDER, bundled


def shipped(cfg, name, make, **choices):
    """A generator of the package as a finished stage, or None where another one is asked for.

    make(cfg=configuration, **choices): the stage that trains it. Only its key is looked at: the package's
    serves as long as nothing that the training depends on is other than in `micro`.
    """
    if not cfg.trained:
        return None
    with planning():
        wanted = make(cfg=replace(cfg, trained=False), **choices)
        ours = make(cfg=configure("micro", trained=False))
    return bundled(f"trained/{name}") if wanted.key == ours.key else None


def is_shipped(stage):
    """Whether a stage is one of the package."""
    return FOLDER in stage.path.parents


def card():
    """What is known of how the package's generators were made."""
    return read_json(FOLDER / "trained" / "card.json")


def origin(stages):
    """Where generators come from, in a sentence: of the package or trained in a run. stages: finished ones."""
    shipped = [is_shipped(stage) for stage in stages]
    if not any(shipped):
        return "All were trained in this run."
    known = card()
    how = (
        f"trained on the same images as a run would, for {known['vae_steps']:,} steps (autoencoders) and "
        f"{known['unet_steps']:,} steps or {known['images_seen']:,} images (denoisers), on {known['written']}"
    )
    some = "All" if all(shipped) else f"{sum(shipped)} of {len(shipped)}"
    return f"{some} come with the package: {how}. Change what they depend on, or set `trained = False`, and they are trained here."
