"""A hub's networks are found in its cache and known by its revision; nothing is asked of the network."""

import hub
import pytest

from skinsynth import recipe
from skinsynth.core import store
from skinsynth.core.config import configure
from skinsynth.core.errors import UserError
from skinsynth.networks import bundled


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def files(content):
    return dict.fromkeys(hub.wanted(hub.SD)[1], content)


def test_a_networks_key_is_its_revision(cache):
    first, second = (hub.put(cache, hub.SD, {"x.json": i} | files({"of": i})) for i in range(2))
    (refs,) = cache.glob("models--*/refs/main")
    assert refs.read_text() == second.name != first.name
    refs.write_text(first.name)
    old = bundled.named(hub.SD, "diffusion")
    refs.write_text(second.name)
    new = bundled.named(hub.SD, "diffusion")
    assert (old.path, new.path) == (first, second) and old.key != new.key
    assert old.key == f"{hub.SD} {first.name}"


def test_absent_it_is_one_line_before_any_work_but_a_plan_does_without(cache):
    cfg = configure("paper", data="somewhere")
    with pytest.raises(UserError, match=f"{hub.SD} is needed and absent: skinsynth weights fetch"):
        recipe.require(cfg)
    with pytest.raises(UserError, match="ViT-H-14/laion2b_s32b_b79k is needed and absent"):
        recipe.load_clip(cfg)
    with store.planning():
        assert recipe.base(None, cfg)[0].key == hub.SD
    recipe.require(configure("smoke"))
