"""Looks of samples beside originals: the nearer model is found to be nearer."""

import numpy as np
import pandas as pd
import pytest

from skinsynth import phantom
from skinsynth.evaluation import looks
from skinsynth.evaluation.compared import Compared
from skinsynth.interpolation import segment


@pytest.fixture(scope="module")
def compared():
    """Phantom images as originals; as samples others of the kind (8ch+ML), the same blurred (baseline)."""
    classes = ["vasc"] * 12 + ["df"] * 12
    x = np.stack([phantom.dermatoscopy(0, i, c, 64).clean for i, c in enumerate(classes * 2)])
    original, fake = x[:24], x[24:]
    about = {"dx": classes, "split": "test", "lesion_id": np.arange(24)}
    meta = pd.DataFrame({"class": classes, "seed": [*range(12)] * 2})
    blurred = fake[:, ::4, ::4].repeat(4, 1).repeat(4, 2)
    sets = {"baseline": blurred, "8ch+ML": fake}
    return Compared(None, pd.DataFrame(about), original, sets, meta)


def test_blur_lies_further_from_the_originals(compared):
    sharp, blurred = compared.pixels["8ch+ML"], compared.pixels["baseline"]
    gap = looks.fine_gap(compared, sharp, blurred, "sharper")
    assert gap.label == "sharper" and gap.high < 0 and gap.n == 24
    assert looks.fine_gap(compared, blurred, sharp).value == pytest.approx(-gap.value)
    detail = looks.fine_detail(compared, blurred).set_index("set")[looks.FINE]
    assert detail.index.tolist() == ["baseline", "8ch+ML", "8ch+ML, references: none"]
    assert abs(np.log10(detail["8ch+ML"])) < abs(np.log10(detail["baseline"]))
    assert detail.iloc[2] == detail.iloc[0], "the samples without reference images are those given"


def test_lesions_are_compared_by_class_inside_their_mask(compared, monkeypatch):
    size = slice(16, 48)
    monkeypatch.setattr(segment, "load_segmenter", lambda stage: None)

    def middle(_, images):
        masks = np.zeros(images.shape[:3], bool)
        masks[:, size, size] = True
        return masks

    monkeypatch.setattr(segment, "segment", middle)
    gaps = looks.lesion_gaps(compared, None, unshown=compared.pixels["baseline"])
    assert list(gaps) == ["boundary", "colour", "texture"]
    ways = ("with reference images", "without reference images")
    labels = [f"{c}, {way}" for c in ("vasc", "df") for way in ways]
    assert all([e.label for e in v] == labels for v in gaps.values())
    shown, unshown = gaps["texture"][::2], gaps["texture"][1::2]
    assert max(e.value for e in shown) < 0  # the unblurred samples are nearer
    assert all(e.value == 0 for e in unshown), "without reference images they are the baseline's"
    table = looks.gap_table(gaps)
    assert table.shape == (12, 6) and table["measure"].tolist()[::4] == list(gaps)
