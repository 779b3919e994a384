"""Can you tell? Pairs are one original and one sample of a class, by seed; the page counts as it says."""

import base64
import io
import json
import re

import browser
import numpy as np
import pytest
from PIL import Image

from skinsynth.book import pages, tell
from skinsynth.core import store
from skinsynth.core.config import CLASSES
from skinsynth.numerics import stats


def some_pairs(seed=0, n=20):
    """Pairs of images whose red value is the number of the image; green tells originals from samples."""
    classes = np.repeat(CLASSES, 4)
    images = np.zeros((2, 28, 8, 8, 3), np.uint8)
    images[..., 0] = np.arange(28)[:, None, None]
    images[1, ..., 1] = 255
    return classes, tell.pairs(images[0], classes, images[1], classes, seed, n)


def test_pairs_are_of_one_class_by_seed_and_no_image_comes_twice():
    classes, found = some_pairs()
    number = [(int(a[0, 0, 0]), int(b[0, 0, 0])) for _, a, b, _ in found]
    assert len(found) == 20 and all(a[0, 0, 1] == 0 and b[0, 0, 1] == 255 for _, a, b, _ in found)
    assert all(classes[i] == classes[j] == c for (c, *_), (i, j) in zip(found, number, strict=True))
    assert all(len({pair[k] for pair in number}) == 20 for k in (0, 1))
    counts = np.unique([c for c, *_ in found], return_counts=True)[1]
    assert len(counts) == 7 and set(counts) == {2, 3} and {s for *_, s in found} == {0, 1}
    order = [c for c, *_ in found]
    assert order != sorted(order), "classes are mixed"
    again, other = some_pairs()[1], some_pairs(seed=1)[1]
    assert str(again) == str(found) != str(other)


def test_a_pair_has_its_sample_on_the_side_that_counts_as_right(project, monkeypatch):
    monkeypatch.setattr(tell, "of_run", lambda run: some_pairs()[1])
    run, target = store.Run("micro"), project / "made/tell.md"
    store.write_json(run.root / "manifest.json", dict(run="micro", data="phantom", notebooks={}))
    tell.write(run, target)
    game = json.loads(re.search(r'id="tell-pairs">(.*?)</script>', target.read_text())[1])
    assert len(game) == 20
    for pair in game:
        files = (io.BytesIO(base64.b64decode(url.split(",")[1])) for url in pair["images"])
        green = [int(np.asarray(Image.open(file))[0, 0, 1]) for file in files]
        assert green == ([0, 255] if pair["side"] else [255, 0])


def test_without_images_the_page_says_so_and_is_left_out_of_the_menu(project):
    run = store.Run("micro")
    store.write_json(run.root / "manifest.json", dict(run="micro", data="data", notebooks={}))
    target = project / "made/tell.md"
    tell.write(run, target)
    text = target.read_text()
    assert "do not lie on this machine" in text and "SKINSYNTH_DATA" in text and "<" not in text
    entry = '<li class="toctree-l1"><a class="x" href="{}">Word</a></li>'
    for name in ("tell", "other"):
        (project / "book" / name).parent.mkdir(exist_ok=True)
        menu = "\n".join(entry.format(page) for page in ("a.html", "tell.html", "b.html"))
        (project / "book" / f"{name}.html").write_text(menu)
    tell.leave_out(project)
    kept = (project / "book/other.html").read_text()
    assert "a.html" in kept and "b.html" in kept and "tell.html" not in kept


def played(page, picks):
    """What the page says in the end, after a choice by key (odd pairs) or touch (even pairs) of each pair."""
    for k, pick in enumerate(picks):
        if k % 2:
            page.tap(f".tell-pair button:nth-of-type({pick + 1})")
            page.tap(".tell-next")
        else:
            page.keyboard.press("ArrowRight" if pick else "ArrowLeft")
            page.keyboard.press("ArrowLeft")  # a second choice counts for nothing
            page.keyboard.press("Enter")
    return page.inner_text(".tell [role=status]")


@pytest.mark.skipif(not browser.found(), reason="no Chromium on this machine")
@pytest.mark.parametrize(
    ("right", "means"),
    [
        (20, "you can tell."),
        (11, "does not show"),
        (15, "lies above"),
        (14, "includes"),
        (2, "take each for the other"),
    ],
)
def test_score_and_interval_are_those_of_the_answers(project, monkeypatch, right, means):
    from playwright.sync_api import sync_playwright

    found = some_pairs()[1]
    monkeypatch.setattr(tell, "of_run", lambda run: found)
    run, target = store.Run("micro"), project / "made/tell.md"
    store.write_json(run.root / "manifest.json", dict(run="micro", data="phantom", notebooks={}))
    tell.write(run, target)
    head, rest = target.read_text().split("```{raw} html\n")
    game, tail = rest.split("```\n")
    assert "from 15 correct" in tail and "drawn by a program" in head
    (project / "tell.html").write_text(f"<!DOCTYPE html><html lang=en><body>{game}</body></html>")
    picks = [side if k < right else 1 - side for k, (*_, side) in enumerate(found)]
    with browser.served(project) as base, sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser.found(), args=["--no-sandbox"])
        page = chromium.new_context(
            viewport={"width": 390, "height": 800}, has_touch=True
        ).new_page()
        asked = []
        page.on("request", lambda r: asked.append(r.url) if not r.url.startswith("data:") else 0)
        page.goto(base + "tell.html")
        said = played(page, picks)
        chromium.close()
    share = stats.wilson(right, 20)
    low, high = (f"{100 * x:.0f} %" for x in (share.low, share.high))
    assert f"{right} of 20 correct, {5 * right} % [{low}, {high}]" in said and means in said
    assert [url for url in asked if "favicon" not in url] == [base + "tell.html"]


def test_the_page_of_photographs_says_that_it_is_private():
    shown = [dict(of="melanoma", images=["data:,", "data:,"], side=0)]
    words = dict(pairs=shown, data="[]", enough=1, run=dict(run="ham64", data="data"))
    assert "keep this page to yourself" in pages.render("tell.md", **words)
