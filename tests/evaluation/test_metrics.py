"""Metrics agree with the field's own code, and their conventions cannot be swapped unseen."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import t
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from skinsynth.core.errors import UserError
from skinsynth.evaluation import measures, metrics, neighbours
from skinsynth.evaluation.measures import ms_ssim_scales
from skinsynth.networks import published
from skinsynth.numerics import stats


def features(seed, n=600, d=16, shift=0.0, scale=1.0):
    rng = np.random.default_rng([5, seed])
    mix = np.random.default_rng(0).normal(size=(d, d)) / np.sqrt(d)
    return (scale * rng.normal(size=(n, d)) + shift) @ mix


def textures(seed, n, size=64, blur=2.0):
    """Smooth random colour textures, uint8 (n, size, size, 3)."""
    out = []
    for i in range(n):
        x = np.random.default_rng([seed, i]).normal(size=(size, size, 3)).astype(np.float32)
        x = cv2.GaussianBlur(x, (0, 0), blur)
        out.append(np.clip(128 + 40 * x / x.std(), 0, 255).astype(np.uint8))
    return np.stack(out)


def torch_fidelity_fd(f, g):
    s = [fid_features_to_statistics(torch.from_numpy(x)) for x in (f, g)]
    return fid_statistics_to_metric(*s, verbose=False)["frechet_inception_distance"]


def groups_of(*sets):
    return [stats.make_groups(np.arange(len(s)), seed=i) for i, s in enumerate(sets)]


def test_frechet_distance_is_torch_fidelitys():
    for f, g in [(features(0), features(1, 500, shift=0.3)), (features(2), features(3, scale=1.4))]:
        assert metrics.frechet_distance(f, g) == pytest.approx(torch_fidelity_fd(f, g), rel=1e-6)
    f, g = features(0, 40, 64), features(1, 50, 64, shift=0.5)  # fewer images than dimensions
    assert metrics.frechet_distance(f, g) == pytest.approx(torch_fidelity_fd(f, g), rel=1e-6)
    assert metrics.frechet_distance(f, f) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_is_analytic_for_known_gaussians():
    x = np.random.default_rng(0).normal(size=(200_000, 2))
    fd = metrics.frechet_distance(x, 2 * np.random.default_rng(1).normal(size=x.shape) + [1, 0])
    assert fd == pytest.approx(1 + 2 * (2 - 1) ** 2, rel=0.02)


def test_frechet_distance_of_a_dimension_that_never_varies():
    f, g = (np.random.default_rng(k).normal(k, 1 + k, (200, 4)) for k in (0, 1))
    still = [np.c_[x, np.full(200, 3.0)] for x in (f, g)]
    assert metrics.frechet_distance(*still) == pytest.approx(
        metrics.frechet_distance(f, g), rel=1e-6
    )
    moved = [still[0], np.c_[g, np.full(200, 5.0)]]
    assert metrics.frechet_distance(*moved) == pytest.approx(
        metrics.frechet_distance(f, g) + 4, rel=1e-6
    )


def test_kid_of_subsets_is_the_mean_over_each_of_them():
    f, g = (np.random.default_rng(k).normal(0.3 * k, 1, (n, 5)) for k, n in ((0, 60), (1, 80)))
    rng, each = np.random.default_rng([7, 1]), []
    for _ in range(6):
        each.append(metrics.kid(*(x[rng.choice(len(x), 20, replace=False)] for x in (f, g))))
    assert metrics.kid(f, g, subsets=6, subset_size=20, seed=7) == pytest.approx(
        np.mean(each), rel=1e-9
    )


def test_kid_is_torch_fidelitys_and_streams(monkeypatch):
    f, g = features(0, 300), features(1, 300, shift=0.2)
    ours = metrics.kid(f, g)
    theirs = kid_features_to_metric(
        torch.from_numpy(f), torch.from_numpy(g), kid_subsets=1, kid_subset_size=300, verbose=False
    )["kernel_inception_distance_mean"]
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert metrics.kid(f, g, subsets=30) == pytest.approx(ours, rel=0.25)
    monkeypatch.setattr("skinsynth.numerics.arrays.BLOCK", 7)
    assert metrics.kid(f, g) == pytest.approx(ours, rel=1e-12)


def test_kid_is_unbiased_and_frechet_is_not():
    draws = [(features(2 * i, 60), features(2 * i + 1, 60)) for i in range(60)]
    kids = stats.mean_interval([metrics.kid(*pair) for pair in draws])
    assert kids.low < 0 < kids.high
    assert stats.mean_interval([metrics.frechet_distance(*pair) for pair in draws]).low > 0.1


def test_the_fast_jackknife_of_kid_is_the_plain_one():
    f, g = features(0, 200), features(1, 180, shift=0.2)
    groups = groups_of(f, g)
    fast = metrics.with_interval(metrics.kid, f, g, *groups)
    plain = metrics.with_interval(lambda a, b: metrics.kid(a, b), f, g, *groups)
    assert (fast.value, fast.low, fast.high) == pytest.approx((plain.value, plain.low, plain.high))
    assert fast.n == 180


@pytest.mark.parametrize("metric", [metrics.kid, metrics.frechet_distance])
def test_interval_covers_the_metrics_expectation_at_this_n(metric):
    truth = np.mean(
        [metric(features(2 * i, 200), features(2 * i + 1, 200, shift=0.3)) for i in range(200)]
    )
    inside = 0
    for i in range(100):
        f, g = features(1000 + 2 * i, 200), features(1001 + 2 * i, 200, shift=0.3)
        e = metrics.with_interval(metric, f, g, *groups_of(f, g))
        inside += e.low <= truth <= e.high
    assert inside >= 88


def test_difference_sign_and_equal_numbers():
    real, near, far = features(0), features(1, shift=0.1), features(2, shift=0.6)
    groups = groups_of(real, near, far)
    for metric in (metrics.kid, metrics.frechet_distance):
        e = metrics.difference_with_interval(metric, real, near, far, *groups)
        assert e.high < 0  # the first is better: lower distance
        assert e.value == pytest.approx(metric(real, near) - metric(real, far))
    with pytest.raises(UserError, match="equal n"):
        metrics.difference_with_interval(
            metrics.frechet_distance, real, near[:-1], far, groups[0], groups[1][:-1], groups[2]
        )


def test_precision_and_recall_cannot_be_swapped():
    real = features(0, 400, 4)
    collapsed = np.repeat(real[:1], 400, 0) + 1e-4 * features(1, 400, 4)
    means = {k: v.mean() for k, v in metrics.prdc(real, collapsed).items()}
    assert means["precision"] > 0.95 and means["recall"] < 0.05 and means["coverage"] < 0.05
    wide = {k: v.mean() for k, v in metrics.prdc(real, features(2, 400, 4, scale=4.0)).items()}
    assert wide["precision"] < 0.3 and wide["recall"] > 0.8
    same = {k: v.mean() for k, v in metrics.prdc(real, features(3, 400, 4)).items()}
    assert same["density"] == pytest.approx(1, abs=0.15)
    assert same["coverage"] == pytest.approx(1 - 0.5**5, abs=0.05)  # Naeem et al. 2020, Lemma 2
    with pytest.raises(UserError, match="equal numbers"):
        metrics.prdc(real, real[:-1])


def test_prdc_matches_the_definition_by_brute_force():
    real, fake, k = features(0, 60, 3), features(1, 60, 3, shift=0.5), 3
    d = lambda a, b: np.linalg.norm(a[:, None] - b[None], axis=-1)  # noqa: E731
    rr, rf = np.sort(d(real, real), 1)[:, k], np.sort(d(fake, fake), 1)[:, k]
    got, rows = metrics.prdc(real, fake, k), d(real, fake)
    assert (got["precision"] == (rows < rr[:, None]).any(0)).all()
    assert (got["recall"] == (rows < rf[None]).any(1)).all()
    assert got["density"] == pytest.approx((rows < rr[:, None]).sum(0) / k)
    assert (got["coverage"] == (rows.min(1) < rr)).all()


def test_prdc_of_a_part_is_that_of_a_set_of_its_own():
    real, fake = features(0, 60, 3), features(1, 60, 3, shift=0.5)
    own, other = np.arange(60) % 3 > 0, np.arange(60) % 3 < 2
    _, found = neighbours.prdc(real, fake, parts=[(np.ones(60, bool),) * 2, (own, other)])
    for name, x in neighbours.prdc(real[own], fake[other]).items():
        assert (found[name] == x).all(), name


def test_a_difference_of_recall_covers_other_samples():
    """Two sets of one distribution: only which samples were drawn tells them apart."""
    found, se = [], []
    for k in range(60):
        real, a, b = (features([4, k, j], 120, 6, scale=s) for j, s in enumerate((1, 0.8, 0.8)))
        e = metrics.prdc_difference(real, a, b, *groups_of(real, a, b))["recall"]
        found.append(e.value)
        se.append((e.high - e.low) / 2 / t.ppf(0.975, e.df))
    assert np.sqrt(np.mean(np.square(se))) == pytest.approx(np.std(found), rel=0.3)
    assert 53 <= np.sum(np.abs(found) <= t.ppf(0.975, e.df) * np.array(se)) <= 60


def test_few_images_get_an_interval_that_is_wide_rather_than_narrow():
    values, widths = [], []
    for k in range(40):
        real, fake = (features([6, k, j], 14, 3) for j in range(2))
        e = metrics.prdc_with_interval(real, fake, *groups_of(real, fake))["density"]
        values.append(e.value)
        widths.append((e.high - e.low) / 2 / t.ppf(0.975, e.df))
    assert np.mean(widths) > 0.9 * np.std(values)
    one = metrics.prdc_with_interval(real, fake, np.arange(14), np.zeros(14, int))
    assert all(np.isnan(e.low) for e in one.values() if 0 < e.value < 1)


def test_a_share_of_one_has_an_interval():
    x, groups = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 20
    found = metrics.prdc_with_interval(x, x + 1e-6, groups, groups)
    assert found["precision"].value == 1 and found["precision"].high == 1
    assert (
        found["precision"].low == pytest.approx(stats.wilson(50, 50).low)
        and 0.9 < found["precision"].low < 1
    )
    far = metrics.prdc_with_interval(x, x + 100, groups, groups)["recall"]
    assert far.value == far.low == 0 and 0 < far.high < 0.1


def test_prdc_intervals_and_differences():
    real, fake, worse = features(0, 300, 4), features(1, 300, 4), features(2, 300, 4, shift=1.5)
    groups = groups_of(real, fake, worse)
    each = metrics.prdc_with_interval(real, fake, *groups[:2])
    assert all(e.low < e.value <= e.high for e in each.values())
    assert all(each[name].high <= 1 for name in ("precision", "recall", "coverage"))
    gap = metrics.prdc_difference(real, fake, worse, *groups)
    assert gap["precision"].low > 0 and gap["coverage"].low > 0
    swapped = metrics.prdc_difference(real, worse, fake, groups[0], groups[2], groups[1])
    of_worse = {k: v.mean() for k, v in metrics.prdc(real, worse).items()}
    for name, e in gap.items():
        assert e.value == pytest.approx(each[name].value - of_worse[name])
        assert (e.low, e.high) == pytest.approx((-swapped[name].high, -swapped[name].low))


def test_inception_score_is_torch_fidelitys():
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 7)) * 2)
    theirs = isc_features_to_metric(logits, splits=1, shuffle=False)["inception_score_mean"]

    def ours(probabilities):
        groups = stats.make_groups(np.arange(len(probabilities)))
        return metrics.inception_score_interval(probabilities, groups).value

    assert ours(logits.softmax(1).numpy()) == pytest.approx(theirs, rel=1e-9)
    assert ours(np.eye(7)[np.arange(700) % 7]) == pytest.approx(7)
    assert ours(np.full((9, 7), 1 / 7)) == pytest.approx(1)


def test_inception_score_ratio():
    rng = np.random.default_rng(0)
    sharp, dull = (rng.dirichlet(np.full(7, a), 400) for a in (0.1, 1.0))
    g = stats.make_groups(np.arange(400))
    assert metrics.inception_score_ratio(sharp, dull, g, g).low > 0.2
    e = metrics.inception_score_interval(sharp, g)
    assert 1 < e.low < e.value < e.high < 7


def test_classes_that_look_alike_share_no_variance():
    x, y = features(0, 350, 8), np.arange(350) % 7
    assert metrics.between_class_share(x, y) == pytest.approx(0, abs=0.02)
    assert metrics.between_class_share(x + 3 * np.eye(8)[y], y) > 0.3


def test_bad_features_are_named():
    with pytest.raises(UserError, match="one D"):
        metrics.kid(features(0, d=4), features(0, d=5))
    with pytest.raises(UserError, match="nan"):
        metrics.kid(np.full((5, 2), np.nan), np.ones((5, 2)))
    with pytest.raises(UserError, match="group"):
        metrics.with_interval(metrics.kid, np.ones((5, 2)), np.ones((5, 2)), [0] * 4, [0] * 5)


# images


def test_mse_psnr_on_the_unit_scale():
    a = np.zeros((2, 8, 8, 3), np.uint8)
    b = np.full_like(a, 51)
    assert measures.mse(a, b) == pytest.approx([0.04, 0.04])
    assert measures.psnr(a, b) == pytest.approx([13.979] * 2, abs=1e-3)
    assert np.isinf(measures.psnr(a, a)).all()
    with pytest.raises(UserError, match="uint8"):
        measures.mse(a, b / 255)


def test_ms_ssim_says_its_scales():
    assert [ms_ssim_scales(s) for s in (16, 32, 64, 128, 160, 161, 256)] == [1, 2, 3, 4, 4, 5, 5]
    for size, scales in ((32, 2), (64, 3), (161, 5)):
        a = textures(0, 3, size)
        values, used = measures.ms_ssim(a, a)
        assert used == scales and values == pytest.approx(np.ones(3), abs=1e-5)
        noisy = np.clip(a + np.random.default_rng(0).normal(0, 40, a.shape), 0, 255).astype(
            np.uint8
        )
        slight = np.clip(a + np.random.default_rng(0).normal(0, 5, a.shape), 0, 255).astype(
            np.uint8
        )
        assert (measures.ms_ssim(a, noisy)[0] < measures.ms_ssim(a, slight)[0]).all()
    with pytest.raises(UserError, match="11 pixels"):
        measures.ms_ssim(a[:, :8, :8], a[:, :8, :8])


def test_ms_ssim_of_five_scales_is_the_published_one():
    """torchmetrics' own weights and window, at a size that its check admits."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    a = textures(0, 2, 192)
    b = np.clip(a + np.random.default_rng(0).normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    pair = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in (a, b))
    theirs = multiscale_structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
    assert measures.ms_ssim(a, b)[0] == pytest.approx(theirs.numpy(), abs=1e-5)


def test_lpips_grows_with_distortion_and_ignores_the_batch():
    a, net = textures(0, 5, 64), published.LPIPS("alex")
    slight = np.clip(a.astype(int) + 5, 0, 255).astype(np.uint8)
    near, far = (measures.lpips_distance(net, a, b) for b in (slight, a[::-1]))
    assert measures.lpips_distance(net, a, a) == pytest.approx(np.zeros(5), abs=1e-6)
    assert near.max() < np.delete(far, 2).min()  # a distance, not a similarity
    assert measures.lpips_distance(net, a, slight, batch=2) == pytest.approx(near, abs=1e-5)


def test_band_energy_finds_a_sine_in_its_band():
    x = np.arange(64)
    for i, frequency in enumerate((0.08, 0.19, 0.4)):
        wave = np.tile(128 + 60 * np.sin(2 * np.pi * frequency * x), (64, 1))
        image = np.repeat(wave[None, :, :, None], 3, -1).astype(np.uint8)
        assert measures.band_energy(image)[0].argmax() == i
    soft, sharp = (measures.band_energy(textures(0, 8, blur=b)) for b in (3, 1))
    assert (sharp[:, 2] > soft[:, 2]).all()
    assert measures.band_gap(sharp, soft) > measures.band_gap(sharp, sharp[:4])


def test_border_texture_colour_see_what_their_name_says():
    y, x = np.mgrid[:64, :64]
    mask = ((x - 32) ** 2 + (y - 32) ** 2 < 200)[None]
    disc = np.where(mask[..., None], np.uint8([90, 50, 40]), np.uint8([220, 180, 160]))
    soft = cv2.GaussianBlur(disc[0], (0, 0), 4)[None]
    assert measures.border_sharpness(disc, mask) > 2 * measures.border_sharpness(soft, mask)
    assert np.isnan(measures.border_sharpness(disc, mask * 0)).all()
    flat, rough = np.full((1, 64, 64, 3), 128, np.uint8), textures(0, 1, blur=1)
    assert measures.texture_energy(rough, mask) > measures.texture_energy(flat, mask) + 0.02
    lab = measures.colour_statistics(disc, mask)[0]
    assert lab[0] < 35 and lab[1] > 10 and lab[3:] == pytest.approx([0, 0, 0], abs=1e-3)
    bgr = measures.colour_statistics(disc[..., ::-1], mask)[0]
    assert bgr[2] < 0 < lab[2]  # a picture read as BGR turns blue


def test_measure_distance_prefers_the_nearer_set():
    rng = np.random.default_rng(0)
    real, near, far = (rng.normal(m, 1, (200, 3)) for m in (0, 0.2, 1))
    near[3, 1] = np.nan
    groups = groups_of(real, near, far)
    e = metrics.difference_with_interval(measures.measure_distance, real, near, far, *groups)
    assert e.high < 0
    assert measures.measure_distance(real, far) == pytest.approx(1, abs=0.2)


def test_shortcut_audit_finds_planted_shortcuts():
    real, fake = textures(0, 60), textures(1, 60)
    audited = partial(measures.shortcut_audit, lesions=np.arange(60), seeds=np.arange(60))
    assert all(0.3 < e.value < 0.7 for e in audited(real, fake))
    dark, blocky = fake.copy(), fake.copy()
    dark[:, :4], dark[:, -4:] = 0, 0
    blocky[:, :, ::16] = 255
    audit = {e.label: e for e in audited(real, dark)}
    assert audit["border darkness"].low > 0.95
    assert {e.label: e for e in audited(real, blocky)}["blockiness"].low > 0.95
    swapped = {e.label: e for e in audited(dark, real)}
    assert swapped["border darkness"].high < 0.05


def test_an_auc_counts_what_goes_together_once():
    rng = np.random.default_rng(0)
    p, q = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
    once, as_if = measures.auc_interval(p, q), measures.auc_interval(*(x.repeat(4) for x in (p, q)))
    ids = tuple(np.arange(len(x)).repeat(4) for x in (p, q))
    known = measures.auc_interval(*(x.repeat(4) for x in (p, q)), ids=ids)
    assert (known.value, known.low, known.high) == pytest.approx((once.value, once.low, once.high))
    assert as_if.low > once.low and as_if.high < once.high


def test_auc_interval_covers():
    inside = 0
    for i in range(300):
        rng = np.random.default_rng([3, i])
        e = measures.auc_interval(rng.normal(1, 1, 80), rng.normal(0, 1, 60))
        inside += e.low <= 0.7602 <= e.high  # Phi(1 / sqrt 2)
    assert 0.91 < inside / 300 < 0.98
