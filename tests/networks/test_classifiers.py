"""The judge of label fidelity: it must not take sharpness for a diagnosis."""

import numpy as np
import torch
from torchvision.transforms.functional import gaussian_blur

from skinsynth import phantom
from skinsynth.networks import classifiers
from skinsynth.numerics.arrays import to_tensor


def _skin(n=24):
    return to_tensor(np.stack([phantom.dermatoscopy(0, i, "bkl", 64).clean for i in range(n)]))


def _fine(x):
    """Energy of the differences between neighbouring pixels."""
    return (x[..., 1:] - x[..., :-1]).square().mean((1, 2, 3))


def test_softened_images_depend_on_the_generator_only():
    x = _skin(4)
    a, b, c = (classifiers.soften(x, torch.Generator().manual_seed(k)) for k in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_softening_spans_from_sharp_to_blurred():
    x = _skin()
    ratio = _fine(gaussian_blur(classifiers.soften(x, torch.Generator().manual_seed(1)), 3, 0.6))
    ratio = ratio / _fine(gaussian_blur(x, 3, 0.6))
    assert ratio.min() < 0.6 and ratio.max() > 0.85, "some nearly as they were, some much softer"
    low = lambda z: torch.nn.functional.avg_pool2d(z, 16)  # noqa: E731
    assert (
        low(classifiers.soften(x, torch.Generator().manual_seed(1))) - low(x)
    ).abs().max() < 0.05


def test_strong_augmentation_moves_colours_and_places_within_bounds():
    x = _skin()
    a, b = (classifiers.strong(x, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a, b) and a.shape == x.shape
    shift = (a.mean((2, 3)) - x.mean((2, 3))).abs()
    assert 0.03 < shift.mean() < 0.3 and a.min() > -1.3 and a.max() < 1.3
    assert (a - x).abs().mean((1, 2, 3)).min() > 0.02, "every image changes"
