"""Arrays and tables: which rows stand for a set."""

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from skinsynth.core.errors import UserError
from skinsynth.numerics import arrays


def test_spread_reaches_both_ends_without_repeating():
    assert list(arrays.spread(10, 4)) == [0, 3, 6, 9]
    assert list(arrays.spread(3, 48)) == [0, 1, 2]


def test_what_is_not_a_networks_weights_or_a_class_is_refused(tmp_path):
    path, model = tmp_path / "model.safetensors", torch.nn.Linear(2, 1)
    arrays.save_weights(path, {"other": torch.zeros(3)}, {})
    with pytest.raises(UserError, match="model.safetensors: not this network's weights; remove"):
        arrays.fill(model, path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="model.safetensors: broken weights .*; remove"):
        arrays.fill(model, path)
    table = pd.DataFrame({"dx": ["nv", "wart"]})
    with pytest.raises(UserError, match="unknown diagnosis code 'wart'; known: mel, nv"):
        arrays.labels_of(table, ("mel", "nv"))
    assert arrays.labels_of(table[:1], ("mel", "nv")).tolist() == [1]


def test_weights_written_tensor_by_tensor_are_read_by_the_library_itself(tmp_path):
    given = {
        "steps": torch.tensor(3.0),
        "half": torch.randn(3, 5).half(),
        "brain": torch.randn(7).bfloat16(),
        "turned": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "count": torch.tensor([1, 2]),
        "none": torch.zeros(0, 3),
        "flag": torch.tensor([True, False, True]),
    }
    arrays.save_weights(tmp_path / "w.safetensors", given, {"step": "7"})
    found = load_file(tmp_path / "w.safetensors")
    assert found.keys() == given.keys()
    for name, x in given.items():
        assert found[name].dtype == x.dtype and torch.equal(found[name], x)
    with safe_open(tmp_path / "w.safetensors", "pt") as handle:
        assert handle.metadata() == {"step": "7"}
