"""Fig 3: the layers of the CLIP encoder as maps and numbers."""

import numpy as np
import open_clip
import pandas as pd
import torch

from skinsynth.core.machine import device
from skinsynth.diffusion import layers
from skinsynth.pretrain import contrastive


def test_neighbour_distance_rises_with_roughness():
    rough = torch.randn(1, 2, 17, 12)
    smooth = torch.ones(1, 2, 17, 12) + 0.01 * rough
    assert (layers.neighbour_distance(rough) > layers.neighbour_distance(smooth)).all()


def test_every_layer_is_looked_at_and_shown_as_large_as_the_image():
    torch.manual_seed(0)
    model = open_clip.CLIP(**contrastive.micro_config(32, 20)).to(device()).eval()
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    maps, distance = layers.look(model, images, 2)
    assert maps.shape == (8, 2, 8, 8, 3) and maps.dtype == np.uint8 and distance.shape == (6, 8)
    rows = layers.picture_rows(images[:2], maps, [0, 7])
    assert [len(row) for row in rows] == [3, 3] and rows[1][2].shape == (32, 32, 3)
    assert np.array_equal(rows[1][0], images[1]) and np.array_equal(
        rows[1][2][::4, ::4], maps[7, 1]
    )
    table = layers.depth_table(distance)
    assert list(table.layer) == list(range(8)) and (table.n == 6).all()


def test_the_trend_over_the_layers_tells_a_rise_from_a_rise_that_is_lost_again():
    noise = np.random.default_rng(0).normal(0, 1e-3, (9, 8))
    lesions = list("aabbccdde")
    rising = layers.depth_trend(np.arange(8) / 10 + noise, lesions)
    falling = layers.depth_trend(-np.arange(8) / 10 + noise, lesions)
    assert rising.value == rising.low == 1 and falling.value == falling.high == -1
    assert rising.n == 9 and rising.method == "t over clusters"
    bump = np.array(
        [1, 2, 3, 4, 4.1, 3.1, 2.1, 1.1]
    )  # the deeper half is larger, and there is no rise
    found = layers.depth_trend(bump + noise, lesions)
    assert bump[4:].mean() > bump[:4].mean() and abs(found.value) < 0.2


def test_rows_are_of_the_validation_split_and_drawn_once():
    records = pd.DataFrame(
        {"dx": ["mel", "nv"] * 20, "split": ["train", "train", "val", "val"] * 10}
    )
    chosen, others = layers.validation_rows(records, ("nv", "mel"), 8, 0)
    assert chosen == [3, 2] and len(set(others)) == 8 and not set(chosen) & set(others)
    assert (records.split[chosen + others] == "val").all()
    assert len(layers.validation_rows(records, ("nv",), 99, 0)[1]) == 19
