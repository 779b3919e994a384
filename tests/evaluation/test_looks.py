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
    gap = looks.fine_gap(compared, "8ch+ML", "baseline")
    assert gap.label == "baseline to 8ch+ML" and gap.high < 0 and gap.n == 24
    assert looks.fine_gap(compared, "baseline", "8ch+ML").value == pytest.approx(-gap.value)
    detail = looks.fine_detail(compared)
    assert detail["set"].tolist() == ["original", "baseline", "8ch+ML"]
    shares = looks.share_of_energy(detail)
    assert abs(np.log10(shares["8ch+ML"])) < abs(np.log10(shares["baseline"]))


def test_lesions_are_compared_by_class_inside_their_mask(compared, monkeypatch):
    size = slice(16, 48)
    monkeypatch.setattr(segment, "load_segmenter", lambda stage: None)

    def middle(_, images):
        masks = np.zeros(images.shape[:3], bool)
        masks[:, size, size] = True
        return masks

    monkeypatch.setattr(segment, "segment", middle)
    gaps = looks.lesion_gaps(compared, None)
    assert list(gaps) == ["boundary", "colour", "texture"]
    assert all([e.label for e in v] == ["vasc", "df"] for v in gaps.values())
    assert max(e.value for e in gaps["texture"]) < 0  # the unblurred samples are nearer
    table = looks.gap_table(gaps)
    assert table.shape == (6, 6) and table["measure"].tolist()[::2] == list(gaps)
