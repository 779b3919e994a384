"""How the stages follow from a configuration: the one place that wires the rooms together."""

from .arms import arms, classifier, linear_probe, seeds_of_arm, synthetic, trained
from .chapters import (
    adapter_settings,
    all_walks,
    compared,
    filled,
    guidance_rows,
    guided,
    random_and_interpolated,
    reference_modes,
    rungs,
    sample_walk,
    true_walk,
)
from .stages import (
    MODELS,
    MODES,
    autoencoder,
    base,
    check,
    clinical,
    inpainter,
    interpolation,
    judged,
    load_clip,
    model,
    others,
    partly_interpolated,
    probe,
    records,
    samples,
    segmenter,
    tokens,
    training_images,
)
from .users import counterfactual_of, export_samples
