"""The chain of stages on a tiny phantom: provenance, references, resume, arms."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from skinsynth import phantom, recipe
from skinsynth.book import photographs
from skinsynth.core import config, store
from skinsynth.core.errors import UserError
from skinsynth.core.versions import RELEASED
from skinsynth.data import sets
from skinsynth.diffusion import denoiser, pipeline, vae
from skinsynth.downstream import classify
from skinsynth.evaluation import ablation, panel
from skinsynth.interpolation import segment
from skinsynth.networks import bundled, classifiers, weights
from skinsynth.numerics import arrays
from skinsynth.pretrain import skin
from skinsynth.project import evaluate, ledger
from skinsynth.recipe.arms import listed, start_of

TINY = replace(
    config.PROFILES["smoke"],
    n_train=100,
    n_test=3,
    n_pad=60,
    vae_steps=2,
    unet_steps=2,
    segment_steps=2,
    classify_steps=2,
    samples=2,
    sampling_steps=2,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("SKINSYNTH_RESULTS", str(tmp_path_factory.mktemp("results")))
    yield store.Run("tiny")
    patch.undo()


@pytest.fixture(scope="module")
def folder(run):
    return recipe.samples(run, TINY, "8ch+ML")


def test_sample_folder_is_a_plain_image_folder(run, folder):
    meta = pd.read_csv(folder / "metadata.csv", keep_default_na=False)
    assert list(meta["class"].value_counts()) == [2] * 7
    assert all((folder / name).exists() for name in meta.file_name)
    assert sorted(p.name for p in folder.path.iterdir() if p.is_dir()) == sorted(config.CLASSES)
    records = arrays.records_of(recipe.records(run, TINY)).set_index("image_id")
    used = records.loc[meta.reference]
    assert (used.split == "train").all() and (used.dx.to_numpy() == meta["class"]).all()


def test_samples_resume_where_they_stopped(run, folder, tmp_path, monkeypatch):
    """A folder whose first batch was done keeps it, and ends as the one made in one go."""
    wanted = arrays.load_array(folder / "images.npy")
    inputs = store.read_json(folder / "stage.json")["inputs"]
    labels, seeds = inputs["labels"], inputs["seeds"]
    common = dict(
        model=recipe.model(run, TINY, "8ch+ML"),
        vae=recipe.autoencoder(run, TINY, "8ch"),
        labels=labels,
        seeds=seeds,
        guidance=inputs["guidance"],
        steps=inputs["steps"],
        how=inputs["how"],
        reference=dict(
            mode="train",
            labels=labels,
            tokens=recipe.tokens(run, TINY),
            records=recipe.records(run, TINY),
        ),
    )
    monkeypatch.setattr(pipeline, "BATCH", 5)
    done = 255 - wanted[:5]
    arrays.save_array(tmp_path / "checkpoint" / "0.npy", done)
    pipeline.sample.__wrapped__(tmp_path, **common)
    first = np.array(arrays.load_array(tmp_path / "images.npy"))
    assert np.array_equal(first[:5], done), "what was done is not drawn again"
    rest = abs(first[5:].astype(int) - wanted[5:])
    assert rest.max() <= 1, "batch size changes nothing but float noise"


def test_models_know_their_split(run):
    facts = store.read_json(recipe.model(run, TINY, "4ch") / "trained_on.json")
    assert facts["manifest"] == denoiser.manifest_hash(recipe.records(run, TINY))


def test_samples_of_another_split_are_refused(run, folder):
    """The same images, split by another seed: the generator has seen lesions of that test set."""
    other = sets.load_set(run, replace(TINY, seed=TINY.seed), "ham")
    leaked = sets.read_set(
        run,
        folder=sets.data_folder(run, TINY)[0],
        identity="",
        size=TINY.size,
        limit=0,
        seed=9,
        name="ham",
    )
    pipeline.provenance_check(folder, other)
    with pytest.raises(UserError, match="another split.*may have seen test lesions"):
        pipeline.provenance_check(folder, leaked)
    with pytest.raises(UserError, match="another split"):
        classify.train_arm(
            run,
            arm="RS",
            records=leaked,
            samples=folder,
            vae=recipe.autoencoder(run, TINY, "8ch"),
            others={},
            backbone=TINY.backbone,
            start=None,
            steps=1,
            batch=4,
            seed=0,
        )


def test_a_denoiser_refuses_another_vae(run):
    with pytest.raises(UserError, match="trained with another VAE"):
        pipeline.load_pipeline(recipe.model(run, TINY, "4ch"), recipe.autoencoder(run, TINY, "8ch"))


def test_one_changed_parameter_keeps_what_does_not_depend_on_it(run):
    before = {p.name for p in (run.root / "stages").iterdir()}
    recipe.samples(run, replace(TINY, guidance=2.0), "8ch+ML")
    new = {p.name.split("-")[0] for p in (run.root / "stages").iterdir() if p.name not in before}
    assert new == {"samples"}


def test_base_scratch_needs_no_bundled_generator(run):
    """A wider network than the bundled one, pre-trained here; its UNet fits its VAE."""
    cfg = replace(TINY, base="scratch", width=16, pretrain_steps=2)
    vae_start, unet_start = recipe.base(run, cfg)
    assert vae_start.path.name.startswith("vae-sharpened-")
    assert denoiser.unet_for(unet_start, 4, 8).config.block_out_channels[0] == 32
    facts = store.read_json(recipe.model(run, cfg, "8ch") / "trained_on.json")
    assert facts["vae"] == vae.weights_digest(recipe.autoencoder(run, cfg, "8ch"))


def test_every_arm_trains_and_answers(run, folder):
    given = dict(M=folder, RSA=folder)
    given |= {name: recipe.synthetic(run, TINY, name) for name in ("R2", "R3", "R4", "O")}
    makers = [recipe.classifier(run, TINY, name, 0, added) for name, added in given.items()]
    for made in (
        *makers,
        recipe.linear_probe(run, TINY, "RS", folder),
        recipe.linear_probe(run, TINY, "R1", None),
    ):
        p = arrays.load_array(made / "test.npy")
        assert p.shape == (len(p), 7) and np.allclose(p.sum(1), 1, atol=1e-4)
    with pytest.raises(UserError, match="unknown arm 'X'"):
        classify.train_arm.__wrapped__(
            run.root,
            arm="X",
            records=None,
            samples=None,
            vae=None,
            others={},
            backbone="",
            start=None,
            steps=1,
            batch=1,
            seed=0,
        )


def test_the_released_version_runs_and_differs_where_it_says(run):
    """Released switches on our model, with fewer solver steps: stretched images, untrained projections."""
    how = replace(RELEASED, steps=2)
    folder = recipe.samples(run, TINY, "8ch+ML", how=how)
    images = arrays.load_array(folder / "images.npy")
    assert (images.min((1, 2, 3)) == 0).all() and (images.max((1, 2, 3)) == 255).all()
    meta = pd.read_csv(folder / "metadata.csv", keep_default_na=False)
    assert set(meta["class"]) == set(config.CLASSES) and set(meta.reference) == {""}
    made = recipe.model(run, TINY, "8ch+ML", how), recipe.autoencoder(run, TINY, "8ch")
    assert pipeline.load_pipeline(*made).latent_format == vae.LatentFormat.plain(8), "no scale"
    weights = [
        denoiser.load_denoiser(recipe.model(run, replace(TINY, unet_steps=n), "8ch+ML", how))[
            0
        ].state_dict()
        for n in (2, 3)
    ]
    moved = {k for k in weights[0] if not torch.equal(weights[0][k], weights[1][k])}
    assert not any(k.startswith("adapters.project") for k in moved)
    assert any(k.startswith("unet.") for k in moved)


def test_partly_interpolated_folder_keeps_one_half_and_names_alpha(run, folder):
    made = recipe.partly_interpolated(run, TINY, folder)
    meta = pd.read_csv(made / "metadata.csv")
    before, after = (arrays.load_array(f / "images.npy") for f in (folder, made))
    kept = meta.alpha.isna().to_numpy()
    assert kept.sum() == 7 and np.array_equal(before[kept], after[kept])
    assert set(meta.alpha.dropna()) == {k / 10 for k in range(1, 8)}
    assert not np.array_equal(before[~kept], after[~kept])
    pipeline.provenance_check(made, recipe.records(run, TINY))


def test_the_ceiling_is_fresh_and_of_the_same_counts(run):
    fresh = recipe.synthetic(run, TINY, "O")
    meta = pd.read_csv(fresh / "metadata.csv")
    assert meta["class"].value_counts().tolist() == [3 * TINY.samples] * 7
    pixels, known = (
        arrays.load_array(fresh / "images.npy"),
        arrays.load_array(recipe.records(run, TINY) / "images.npy"),
    )
    assert all((np.abs(known.astype(int) - x).mean((1, 2, 3)) > 2).all() for x in pixels), (
        "no lesion of the set"
    )


def test_classifiers_of_originals_do_not_depend_on_generators(run):
    """Another guidance, or another autoencoder, trains no arm again but those that its images are in."""
    longer = replace(TINY, guidance=2.0, vae_steps=TINY.vae_steps + 1)
    with store.planning() as planned:
        for arm in ("R0", "R1", "R2", "R3", "R4", "RS", "O"):
            for cfg in (TINY, longer):
                recipe.seeds_of_arm(run, cfg, arm)
    made = [facts["inputs"]["arm"] for facts in planned.values() if facts["stage"] == "classifier"]
    n = TINY.classifier_seeds
    assert {arm: made.count(arm) // n for arm in made} == dict(
        R0=1, R1=1, R2=1, R3=1, R4=2, RS=2, O=1
    )


def test_doses_are_nested(run):
    small, large = (recipe.synthetic(run, TINY, dose=d) for d in (0.5, 1))
    a, b = (
        pd.read_csv(f / "metadata.csv").assign(k=lambda t: t["class"] + t.seed.astype(str))
        for f in (small, large)
    )
    assert set(a.k) < set(b.k) and len(b) == 2 * len(a)
    rows = [b.k.tolist().index(k) for k in a.k]
    assert a.reference.tolist() == b.reference[rows].tolist()
    of_small, of_large = (arrays.load_array(f / "images.npy").astype(int) for f in (small, large))
    assert abs(of_small - of_large[rows]).max() <= 2, "image k depends on seed k alone"


def test_references_are_of_the_wanted_class_and_of_the_train_split(run):
    made, records = recipe.tokens(run, TINY), recipe.records(run, TINY)
    table, cached = arrays.records_of(records), arrays.load_array(made / "tokens.npy")
    labels, seeds = ["df", "mel", "df"], [3, 4, 5]
    drawn, ids = pipeline.references("train", labels, seeds, made, records, TINY.seed)
    rows = [table.image_id.tolist().index(i) for i in ids]
    assert np.array_equal(np.asarray(drawn), cached[rows])
    alone = pipeline.references("train", labels[1:2], seeds[1:2], made, records, TINY.seed)[1]
    assert alone == ids[1:2] and ids[0] != ids[2]
    mean, nameless = pipeline.references("class-mean", labels, seeds, made, records, TINY.seed)
    wanted = [
        cached[((table.split == "train") & (table.dx == c)).to_numpy()].mean(0, dtype=np.float32)
        for c in labels
    ]
    assert nameless == [""] * 3 and np.allclose(np.asarray(mean), wanted, atol=0.01)


def test_the_gate_knows_every_photograph_of_a_run(run):
    """Dermatoscopic and clinical ones, of every split."""
    found = photographs.Photographs(run, TINY)
    sets_of = recipe.records(run, TINY), recipe.clinical(run, TINY)
    images = [arrays.load_array(made / "images.npy") for made in sets_of]
    assert len(found.gallery) == sum(map(len, images))
    assert all(found.shown(x[[0, -1]]).all() for x in images)


def test_without_masks_nothing_learns_from_them(run, tmp_path):
    shutil.copytree(recipe.records(run, TINY).path, tmp_path / "bare")
    (tmp_path / "bare" / "masks.npy").unlink()
    bare = store.Stage(tmp_path / "bare", "bare")
    with pytest.raises(UserError, match="no lesion masks found: add HAM10000_segmentations"):
        segment.train_segmenter(
            run, start=None, images=bare, records=bare, steps=1, batch=1, seed=0
        )
    with pytest.raises(UserError, match="no lesion masks found: add HAM10000_segmentations"):
        skin.described_photographs(run, images=bare, records=bare)


def test_clinical_images_are_counted_in_the_table_and_in_the_folder(run, tmp_path):
    assert listed(run, TINY) == (60, 60)
    source = sets.data_folder(run, TINY)[0] / "pad_ufes_20"
    shutil.copytree(source, tmp_path / "pad_ufes_20")
    for path in sorted((tmp_path / "pad_ufes_20" / "images").rglob("*.png"))[:4]:
        path.unlink()
    assert listed(run, replace(TINY, data=str(tmp_path))) == (60, 56)


def test_no_classifier_sees_file_names(run, folder, tmp_path):
    """Names and ids that give the diagnosis away change nothing: the answers are bitwise the same."""
    honest = recipe.records(run, TINY)
    shutil.copytree(honest.path, tmp_path / "telling")
    table = arrays.records_of(honest)
    table = table.assign(image_id=table.dx + "_" + table.index.astype(str), path=table.dx + ".png")
    table.to_csv(tmp_path / "telling" / "records.csv", index=False)
    telling = store.Stage(tmp_path / "telling", "telling")
    options = dict(arm="R1", samples=None, vae=None, others={}, seed=0)
    options |= dict(backbone=TINY.backbone, start=weights.backbone(TINY.backbone), steps=3, batch=8)
    a, b = (classify.train_arm(run, records=r, **options) for r in (honest, telling))
    assert np.array_equal(arrays.load_array(a / "test.npy"), arrays.load_array(b / "test.npy"))


def test_nothing_learned_sees_validation_or_test_images(run, tmp_path):
    """Noise in their place changes no weight of a classifier, the probe and the segmenter."""
    honest = recipe.records(run, TINY)
    shutil.copytree(honest.path, tmp_path / "noise")
    held, rng = (arrays.records_of(honest).split != "train").to_numpy(), np.random.default_rng(0)
    for name, top in (("images", 256), ("masks", 2)):
        x = np.array(arrays.load_array(honest / f"{name}.npy"))
        x[held] = rng.integers(0, top, x[held].shape, np.uint8)
        arrays.save_array(tmp_path / "noise" / f"{name}.npy", x)
    sets_of = honest, store.Stage(tmp_path / "noise", "noise")
    network = dict(backbone=TINY.backbone, start=weights.backbone(TINY.backbone))
    network |= dict(steps=2, batch=8, seed=0)
    of_arm = dict(arm="R1", samples=None, others={})
    own = [panel.cache_features(run, images=made) for made in sets_of]
    ways = {
        "model.safetensors": (
            lambda made: classify.train_arm(run, records=made, vae=None, **of_arm, **network),
            lambda made: classifiers.train_probe(run, records=made, **network),
            lambda made: segment.train_segmenter(
                run,
                start=bundled.bundled("segmenter"),
                images=made,
                records=made,
                steps=2,
                batch=8,
                seed=0,
            ),
        ),
        "other.npy": (  # what it says of other images stands for its weights
            lambda made: classify.linear_probe(
                run,
                records=made,
                embedded=dict(records=own[made is not honest]),
                seed=0,
                **of_arm | dict(others=dict(other=own[0])),
            ),
        ),
    }
    for file, trainings in ways.items():
        for train in trainings:
            a, b = ((train(made) / file).read_bytes() for made in sets_of)
            assert a == b, train.__code__.co_names


def test_a_folder_of_samples_is_judged(run, tmp_path):
    """Fresh phantom images lie nearer than noise; a folder by class needs no table."""
    fresh = recipe.synthetic(run, TINY, "O")
    pixels, meta = arrays.load_array(fresh / "images.npy"), pd.read_csv(fresh / "metadata.csv")
    rng = np.random.default_rng(0)
    for name, images in (
        ("fresh", pixels),
        ("noise", rng.integers(0, 256, pixels.shape, dtype=np.uint8)),
    ):
        for i, (c, x) in enumerate(zip(meta["class"], images, strict=True)):
            (tmp_path / name / c).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / name / c / f"{i}.png"), x[..., ::-1])
    cfg = replace(TINY, n_train=220)  # enough lesions with a second photograph
    said = []
    good, bad = (evaluate.evaluate(run, cfg, tmp_path / n, said.append) for n in ("fresh", "noise"))
    assert len(said) == 2 and f"fresh: {len(pixels)} of {len(pixels)} files read: akiec" in said[0]
    assert (
        good["distances"]["FD-EfficientNet"].iloc[-1]
        < bad["distances"]["FD-EfficientNet"].iloc[-1] / 2
    )
    assert good["distances"]["generator's split"].iloc[-1].startswith("unknown")
    assert set(good) == {"distances", "judges", "fidelity", "copies"} and len(good["fidelity"]) == 7
    shutil.copytree(tmp_path / "fresh" / "df", tmp_path / "few" / "df")
    for path in sorted((tmp_path / "few" / "df").iterdir())[2:]:
        path.unlink()
    with pytest.raises(UserError, match="few: 2 images match a class .*; 10 or more are needed"):
        evaluate.evaluate(run, cfg, tmp_path / "few", said.append)
    store.write_json(tmp_path / "fresh" / "provenance.json", {"manifest": "another"})
    with pytest.raises(UserError, match="fresh: its generator .* another split"):
        evaluate.evaluate(run, cfg, tmp_path / "fresh", said.append)
    leaked = {"8ch+ML": store.Stage(tmp_path / "fresh", "")}
    with pytest.raises(UserError, match="another split"):
        recipe.compared(run, cfg, leaked)


def test_a_classifier_starts_from_what_its_network_knows(monkeypatch, tmp_path):
    """timm's own file, head of 1,000 classes and all; its own normalisation; statistics stay."""
    name = "resnet18.a1_in1k"
    theirs = timm.create_model(name, pretrained=False)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    start = store.Stage(tmp_path, "key")
    made = classifiers.Classifier(name, 7, start)
    assert (
        torch.equal(made.net.layer1[0].conv1.weight, theirs.layer1[0].conv1.weight)
        and made.net.fc.weight.shape[0] == 7
    )
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    made.eval(), theirs.eval()
    assert torch.allclose(
        made.features(x),
        theirs.forward_head(theirs.forward_features(((x + 1) / 2 - mean) / std), pre_logits=True),
        atol=1e-5,
    )
    before = made.net.bn1.running_mean.clone()
    made.train()(x)
    assert torch.equal(made.net.bn1.running_mean, before)
    fresh = classifiers.Classifier(name, 7).train()
    fresh(x)
    assert not torch.equal(fresh.net.bn1.running_mean, before)
    with pytest.raises(UserError, match="not the weights of resnet34"):
        classifiers.Classifier("resnet34.a1_in1k", 7, start)


def test_the_head_starts_where_a_linear_classifier_would_stand():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = np.clip(
        rng.normal(120, 20, (120, 32, 32, 3)) + 40 * np.eye(3)[y][:, None, None], 0, 255
    ).astype(np.uint8)
    model = classifiers.Classifier(
        "tf_efficientnet_lite0", 7, weights.backbone("tf_efficientnet_lite0")
    )
    model.aim(x, y)
    answer = classifiers.probabilities(model.eval(), x).argmax(1)
    assert (answer == y).mean() > 0.95


def test_several_networks_and_further_test_sets(run, folder):
    cfg = replace(TINY, backbone="tf_efficientnet_lite0, test_efficientnet.r160_in1k")
    made = [
        arrays.load_array(recipe.classifier(run, cfg, "R0", 0, None, name) / "test.npy")
        for name in cfg.backbones
    ]
    assert made[0].shape == made[1].shape and not np.array_equal(*made)
    for name in ("resnet0", "vit_tiny_patch16_224"):  # the last takes one size only
        with pytest.raises(UserError, match=f"network '{name}' cannot be used at 64 pixels"):
            recipe.check(config.configure(backbone=f"tf_efficientnet_lite0,{name}"))
    records = recipe.records(run, TINY)
    own, pad = (
        panel.cache_features(run, images=made) for made in (records, recipe.clinical(run, TINY))
    )
    made = classify.linear_probe(
        run,
        arm="R0",
        records=records,
        samples=None,
        embedded=dict(records=own),
        others=dict(pad=pad, isic=pad),
        seed=0,
    )
    assert np.array_equal(arrays.load_array(made / "pad.npy"), arrays.load_array(made / "isic.npy"))


def test_a_users_image_walks_to_normal_skin(run, tmp_path):
    """Any kind of file gives pictures or one clear line."""
    drawn = phantom.dermatoscopy(5, 0, "nv", 64)
    Image.fromarray(drawn.image).save(tmp_path / "lesion.png")
    Image.fromarray(drawn.mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    go = lambda name, mask="mask.png", alphas=(0, 1): recipe.counterfactual_of(  # noqa: E731
        run, TINY, tmp_path / name, tmp_path / f"out-{name}", alphas, mask and tmp_path / mask
    )
    made = go("lesion.png")
    with pytest.raises(UserError, match="exists already"):
        go("lesion.png")
    shutil.rmtree(tmp_path / "out-lesion.png")
    made = go("lesion.png")
    assert [p.name for p in made] == [
        "image.png",
        "mask.png",
        "inpainted.png",
        "alpha_0.png",
        "alpha_1.png",
    ]
    ends = [np.asarray(Image.open(p)).astype(float) for p in made]
    inside = ends[1] > 127
    assert np.abs(ends[2] - ends[0])[inside].mean() > 5, "the lesion is painted over"
    normal, lesion = (np.abs(end - ends[0])[inside].mean() for end in ends[3:])
    assert lesion < normal, "alpha 1 is the lesion"
    walked = {p.name: p.read_bytes() for p in made}
    for name, half in (("ones", 1), ("palette", 0), ("wide", 1)):
        mask = Image.fromarray(drawn.mask.astype(np.uint8) * (half or 255))
        if name == "palette":  # black on white by its numbers, white inside by its colours
            mask = Image.fromarray((~drawn.mask).astype(np.uint8), "P")
            mask.putpalette([255, 255, 255, 0, 0, 0])
        if name == "wide":  # 60 columns on each side are cut off, as of the image
            mask = Image.fromarray(np.pad(np.asarray(mask), ((0, 0), (60, 60))))
            wide = np.pad(drawn.image, ((0, 0), (60, 60), (0, 0)))
            Image.fromarray(wide).save(tmp_path / "lesion-wide.png")
        mask.save(tmp_path / "kind.png")
        image = "lesion-wide.png" if name == "wide" else "lesion.png"
        shutil.rmtree(tmp_path / f"out-{image}", ignore_errors=True)
        assert {p.name: p.read_bytes() for p in go(image, "kind.png")} == walked, name
    kinds = dict(grey="L", rgba="RGBA", wide="RGB")
    for name, mode in kinds.items():
        Image.fromarray(drawn.image).convert(mode).save(tmp_path / f"{name}.png")
        assert len(go(f"{name}.png")) == 5
    Image.fromarray(
        np.asarray(Image.fromarray(drawn.image).convert("L")).astype(np.uint16) * 257
    ).save(tmp_path / "deep.png")
    assert len(go("deep.png")) == 5
    bad = dict(tiny=(1, 1), thin=(7, 600))
    for name, shape in bad.items():
        Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(tmp_path / f"{name}.png")
        with pytest.raises(UserError, match=f"{name}.png: .* pixels are too few"):
            go(f"{name}.png", None)
    Image.fromarray(np.zeros((45, 60), np.uint8)).save(tmp_path / "empty.png")
    Image.fromarray(np.zeros((45, 60, 3), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(UserError, match="black.png: no lesion found"):
        go("black.png", "empty.png")
    with pytest.raises(UserError, match="of other proportions"):
        go("lesion.png", "empty.png")
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(tmp_path / "full.png")
    with pytest.raises(UserError, match="fills the image"):
        go("lesion.png", "full.png")
    with pytest.raises(UserError, match="alpha 2 lies outside"):
        go("lesion.png", alphas=(2,))


def test_a_network_is_named_by_what_it_starts_from(monkeypatch):
    tiny = "test_resnet.r160_in1k"
    monkeypatch.setattr(weights, "backbone", lambda name: None)
    assert start_of(tiny) == "random start"
    monkeypatch.setattr(weights, "backbone", lambda name: "a stage")
    for known in ("tf_efficientnet_lite0", "resnet18.a1_in1k"):
        assert start_of(known) == "ImageNet weights"
    # a file that is not in networks/table.py is not called ImageNet's
    assert start_of(tiny) == f"weights of timm/{tiny}"


def test_a_training_is_looked_at_on_the_way(run, folder):
    """At each eighth, on validation images: the measures of all models and the claims that rest on them."""
    course = recipe.course(run, TINY)
    table = pd.read_csv(course / "measures.csv")
    seen = [TINY.batch, 2 * TINY.batch]  # of two steps
    assert table.groupby("images").model.count().to_dict() == dict.fromkeys(seen, 5)
    assert (
        table[[*ablation.MEASURES, *(f"{m} low" for m in ablation.MEASURES)]].notna().all(axis=None)
    )
    for claim in ("table2-fid", "table5-fid-8ch", "fig9-sharper", "fig9-diversity"):
        along = recipe.along(run, TINY, claim)
        assert [n for n, _ in along] == seen
        assert all(len(parts) == ledger.load()[claim]["n_parts"] for _, parts in along)
    assert recipe.course(run, replace(TINY, course=False)) is None
    assert recipe.along(run, replace(TINY, course=False), "table2-fid") == []
    first, last = (
        arrays.load_array(recipe.samples(run, TINY, "8ch+ML", at=k) / "images.npy") for k in (1, 2)
    )
    end = arrays.load_array(folder / "images.npy").astype(int)
    assert np.abs(end - last).max() <= 2 < np.abs(end - first).max(), (
        "the last is the model, but for rounding"
    )


def test_models_are_trained_again_in_another_order(run, folder):
    (folders,) = recipe.trained_again(run, TINY)
    other, first = (arrays.load_array(f / "images.npy") for f in (folders["8ch+ML"], folder))
    assert other.shape == first.shape and not np.array_equal(other, first)
    (found,) = recipe.repeated(run, TINY)
    table = ablation.over_trainings([found, found]).set_index("claim")
    assert len(table) == sum(ledger.load()[claim]["n_parts"] for claim in found)
    one = found["table5-fid-8ch"][0].value
    assert table.loc["table5-fid-8ch", ["training 2", "over trainings low"]].tolist() == [one] * 2
    assert recipe.repeated(run, replace(TINY, generator_seeds=1)) == []
