"""How the stages follow from a configuration: the one place that wires the rooms together."""

from .arms import arms, classifier, guided, linear_probe, listed, seeds_of_arm, synthetic, trained
from .images import clinical, load_clip, others, records, tokens, training_images
from .models import (
    MODELS,
    autoencoder,
    base,
    check,
    inpainter,
    judged,
    model,
    probe,
    require,
    segmenter,
)
from .paths import (
    all_walks,
    filled,
    interpolation,
    normal_ends,
    partly_interpolated,
    random_and_interpolated,
    sample_walk,
)
from .samples import (
    adapter_settings,
    beside_originals,
    compared,
    guidance_rows,
    hair_ways,
    reference_modes,
    rungs,
    samples,
    trained_again,
)
from .shipped import origin
from .shipping import train_shipped
from .trainings import along, course, repeated, steps
from .users import counterfactual_of, export_samples
