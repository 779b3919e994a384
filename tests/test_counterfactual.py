"""Segmentation, inpainting, interpolation, variance: conventions that flip when they are wrong."""

import numpy as np
import pytest
import torch

from skinsynth import phantom
from skinsynth.interpolation import inpaint, paths, segment


def test_alpha_one_is_the_lesion_and_zero_the_skin():
    normal, lesion = torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2)
    assert torch.equal(paths.lerp(normal, lesion, 1.0), lesion)
    assert torch.equal(paths.lerp(normal, lesion, 0.0), normal)
    assert paths.lerp(normal, lesion, 0.25).mean() == 0.25


def test_slerp_keeps_the_length_where_lerp_shortens_it():
    g = torch.Generator().manual_seed(0)
    a, b = (
        torch.nn.functional.normalize(torch.randn(3, 16, generator=g)).view(3, 4, 2, 2)
        for _ in "ab"
    )
    middle = paths.slerp(a, b, 0.5).flatten(1).norm(dim=1)
    assert torch.allclose(middle, torch.ones(3), atol=1e-5)
    assert (paths.lerp(a, b, 0.5).flatten(1).norm(dim=1) < 0.95).all()
    assert torch.allclose(paths.slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(paths.slerp(a, b, 1.0), b, atol=1e-5)
    assert torch.allclose(paths.slerp(a, a, 0.3), a, atol=1e-5)


@pytest.mark.parametrize("dx", ["mel", "nv", "vasc"])
def test_inpainting_comes_nearer_to_the_true_skin(dx):
    gains = []
    for i in range(6):
        p = phantom.dermatoscopy(3, i, dx, 64)
        if p.mask.mean() > 0.6:
            continue
        made = inpaint.inpaint(p.clean, p.mask)
        error = lambda x, p=p: ((x[p.mask] / 255 - p.normal[p.mask] / 255.0) ** 2).mean()  # noqa: E731
        gains.append(10 * np.log10(error(p.clean) / error(made)))
        assert np.array_equal(
            made[~inpaint.dilate(p.mask, 0.12)], p.clean[~inpaint.dilate(p.mask, 0.12)]
        )
    assert np.median(gains) > 3


def test_inpainting_leaves_an_image_without_a_lesion_alone():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(inpaint.inpaint(image, np.zeros((16, 16), bool)), image)
    assert np.array_equal(inpaint.inpaint(image, np.ones((16, 16), bool)), image)


def test_dice_and_mask_report():
    a = np.zeros((4, 10, 10), bool)
    a[0, 2:6, 2:6] = a[1, 2:6, 2:6] = a[3, 0:5, 0:5] = True
    b = np.zeros_like(a)
    b[0, 2:6, 2:6] = b[1, 4:8, 2:6] = True
    assert np.allclose(segment.dice(a, b), [1, 0.5, 1, 0])
    assert segment.mask_report(a) == dict(n=4, none=1, too_small=0, touches_border=1, fills_image=0)


def test_only_the_largest_region_is_kept():
    mask = np.zeros((10, 10), bool)
    mask[1:6, 1:6] = mask[8, 8] = True
    kept = segment._largest(mask)
    assert kept.sum() == 25 and not kept[8, 8]


def test_variance_is_the_trace_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(50, 7))
    assert paths.variance(x) == pytest.approx(np.trace(np.cov(x.T)))


def test_permutation_finds_a_wider_set_and_no_more():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(60, 5))
    wide, same = a.copy(), a.copy()
    wide[30:] *= 2
    same[30:] = rng.normal(size=(30, 5))
    seen, p = paths.variance_test(a, wide, 500)
    assert seen > 0 and p < 0.01
    assert paths.variance_test(a, same, 500)[1] > 0.05
    assert paths.variance_test(wide, a, 500)[0] == pytest.approx(-seen)


def test_permutation_is_calibrated():
    """Under the null p is below 0.1 in about a tenth of the cases."""
    low = 0
    for k in range(200):
        rng = np.random.default_rng(k)
        a = rng.normal(size=(20, 3))
        b = np.concatenate([a[:10], rng.normal(size=(10, 3))])
        low += paths.variance_test(a, b, 99, seed=k)[1] <= 0.1
    assert 5 <= low <= 36
