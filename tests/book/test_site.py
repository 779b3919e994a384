"""The site is built strictly, and each gate closes on what it is there for."""

import base64
import io
import re
import shutil
import time
import zipfile
from dataclasses import replace
from importlib.metadata import version

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, write_notebook
from matplotlib import pyplot as plt
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from skinsynth.book import cost, front, gates, pages, reference, site
from skinsynth.book.lighten import lighten
from skinsynth.core import code, store
from skinsynth.core.errors import UserError
from skinsynth.evaluation import copies
from skinsynth.project import chapters, ledger
from skinsynth.project.verdicts import UNTESTABLE


def executed_cell(source="1", output=None, **metadata):
    cell = new_code_cell(source, execution_count=1, outputs=[output] if output else [])
    cell.metadata.update(metadata | {"papermill": {"status": "completed"}})
    return cell


def markdown(text):
    return new_output("display_data", {"text/markdown": text, "text/html": "<p>for JupyterLab</p>"})


def item_cells(item, number):
    """What a notebook leaves behind for an item: a labelled figure or table."""
    if item.startswith("table"):
        text = (
            f":::{{table}} **Table {number}.** Rows.\n:name: {item}\n\n| a |\n|--:|\n| 1 |\n:::\n"
        )
        return [executed_cell(output=markdown(text))]
    picture = new_output("display_data", {"image/png": PNG, "text/plain": item})
    caption = {"name": item, "caption": f"**Figure {number}.** Words."}
    look = {"figure": caption, "image": {"alt": "A dot"}}
    file = f"fig{int(number):02d}.png"
    link = markdown(f"Files: {{download}}`{file} <../../results/smoke/figures/{file}>`")
    return [executed_cell(output=picture, mystnb=look), executed_cell(output=link)]


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def built_in(project):
    """A project whose smoke run is complete: pages of this project, small notebooks and results."""
    for name in ("_config.yml", "index.md"):
        shutil.copy(ROOT / name, project)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())  # without the chapters of published runs
    toc["parts"] = [
        p
        for p in toc["parts"]
        if not any(
            c["file"].startswith("book/executed/") and c["file"].count("/") > 2
            for c in p["chapters"]
        )
    ]
    (project / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))
    skip = shutil.ignore_patterns("executed", "generated", "reference")
    shutil.copytree(ROOT / "book", project / "book", ignore=skip)
    run, entries = store.Run("smoke"), {}
    for name in chapters.NOTEBOOKS:
        wanted = {i: i.lstrip("figtable") for i, (_, where) in pages.ITEMS.items() if where == name}
        cells = [c for i, n in wanted.items() for c in item_cells(i, n)]
        page = write_notebook(project, name, *cells)
        page.cells[1].update(execution_count=1)
        page.cells[1].metadata["papermill"] = {"status": "completed"}
        page.metadata["papermill"] = {"version": "2"}
        (run.root / "executed").mkdir(parents=True, exist_ok=True)
        nbformat.write(page, run.root / "executed" / f"{name}.ipynb")
        entries[name] = {"key": "0", "status": "completed", "seconds": 1.0, "commit": "0" * 40}
        entries[name] |= {"dirty": False, "parameters": {}}
    for number in gates.FIGURES:
        plt.imsave(run.figures / f"fig{number:02d}.png", [[0, 1]])
    for number in gates.TABLES:
        (run.tables / f"table{number}.csv").write_text("a\n1\n")
    whole = {
        "run": "smoke",
        "profile": "smoke",
        "data": "phantom",
        "device": "CPU",
        "platform": "Linux",
        "commit": "0" * 40,
        "dirty": False,
    }
    whole |= {"versions": {"python": "3"}, "inputs": {}, "notebooks": entries}
    store.write_json(run.root / "manifest.json", whole)
    return project


def test_jupyter_book_is_version_one():
    assert version("jupyter-book").split(".")[0] == "1"


@pytest.mark.book
def test_strict_build_is_clean_then_up_to_date_then_catches_a_broken_link(built_in):
    said = []
    assert site.build("smoke", say=said.append) == []
    html = built_in / "_build" / "html"
    page = (html / "book" / "executed" / "01_data.html").read_text()
    assert "<strong>Figure 14.</strong>" in page and "caption-number" not in page
    assert 'id="fig14"' in page and "for JupyterLab" not in page
    given = (
        html / "_sources/book/executed/01_data.ipynb"
    ).read_text()  # the pictures are the page's
    assert (
        "Words." in given
        and "image/png" not in given
        and "<img" in page
        and not list(html.rglob("*.map"))
    )
    assert (
        said[-1].endswith(f"{max(gates.weights(html).values()):.1f} MB")
        and f", {gates.total(html):.0f} MB;" in said[-1]
    )
    front = (html / "index.html").read_text()
    links = {"items": 8, "verdicts": 7, "the answer on samples": 1, "the picture": 1}
    assert front.count("book/executed/04_generation.html#") == sum(links.values())
    assert "phantom" in front and front.count("sd-tab-label") == 2 and "draws the phantom" in front
    assert "Our own questions" in (html / "book/claims.html").read_text()
    assert "stale" in (status := (html / "book" / "status.html").read_text())
    packed = html / "book" / re.search(r'href="([^"]*tables-smoke\.zip)"', status)[1]
    names = {f"smoke/tables/table{n}.csv" for n in gates.TABLES}
    assert names <= set(zipfile.ZipFile(packed).namelist())
    assert "do not lie on this machine" in (html / "book/tell.html").read_text()
    assert not re.search(r'toctree-l1"><a[^>]*tell\.html', front), "left out of the menu"
    assert "Run smoke: the phantom, 32 × 32 pixels" in page
    assert (
        front.count(', small"') >= 14
        and len(list((built_in / "book" / "generated").glob("fig*.png"))) == 14
    )
    found = re.search(r"not testable here</span></p></td>.*?<strong>(\d+)</strong>", front, re.S)
    said_by_the_paper = [c for c in ledger.load().values() if c["kind"] == "paper"]
    assert int(found[1]) == len(said_by_the_paper), "a run without evidence gives no verdict"

    start = time.perf_counter()
    assert site.build(say=said.append) == []
    assert said[-1].startswith("site is up to date") and time.perf_counter() - start < 20

    with open(built_in / "book" / "licences.md", "a") as page:
        page.write("\nSee [Fig 99](#fig99).\n")
    problems = site.build(say=said.append)
    assert any("fig99" in p and "licences.md" in p for p in problems)
    assert not (built_in / "_build" / "built").exists()


def test_a_missing_notebook_or_result_stops_the_build(built_in):
    run = store.Run("smoke")
    (run.figures / "fig07.png").unlink()
    problems = site.build("smoke")
    assert problems == ["results/smoke: figures/fig07.png is missing"]
    assert not (built_in / "_build").exists()
    (run.root / "executed" / "03_diffusion.ipynb").unlink()
    with pytest.raises(UserError, match="lacks 03_diffusion"):
        site.build("smoke")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (new_output("error", ename="ValueError", evalue="no"), "error ValueError"),
        (
            new_output("stream", name="stderr", text="Warning: careful"),
            "stderr: 'Warning: careful'",
        ),
        (
            new_output("stream", text="saved /home/me/x.png"),
            "path of this machine .* '/home/me/x.png'",
        ),
        (
            new_output("display_data", {"text/html": "<a href='/Users/me/x'>"}),
            "path of this machine",
        ),
        (new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}), "widget"),
        (new_output("stream", text="https://x.org/home/me results/micro/home"), None),
        (new_output("display_data", {"image/png": "iVBOR/tmp/abc/home/x"}), None),
        (
            new_output("display_data", {"text/html": "<img src='data:image/png;base64,a/tmp/b'>"}),
            None,
        ),
    ],
)
def test_notebook_gate(tmp_path, output, message):
    page = write_notebook(tmp_path, "x", executed_cell(output=output), folder=".")
    page.metadata["papermill"] = {"version": "2"}
    page.cells[1].update(execution_count=1)
    page.cells[1].metadata["papermill"] = {"status": "completed"}
    nbformat.write(page, tmp_path / "x.ipynb")
    problems = list(gates.notebook_problems(tmp_path / "x.ipynb"))
    if message is None:
        assert problems == []
    else:
        (only,) = problems
        assert re.search(message, only) and only.startswith("x.ipynb, cell 2")


def test_notebook_gate_wants_papermill_and_every_cell(tmp_path):
    page = write_notebook(tmp_path, "x", "print(1)", folder=".")
    (only,) = gates.notebook_problems(tmp_path / "x.ipynb")
    assert "not executed by papermill" in only
    page.metadata["papermill"] = {"version": "2"}
    page.cells[2].metadata["papermill"] = {"status": "completed"}  # as after a timeout
    nbformat.write(page, tmp_path / "x.ipynb")
    problems = list(gates.notebook_problems(tmp_path / "x.ipynb"))
    assert len(problems) == 2 and all("not completed" in p for p in problems)
    page.metadata["widgets"] = {"application/x": {}}
    page.cells[0].metadata["tags"] = ["papermill-error-cell-tag"]
    nbformat.write(page, tmp_path / "x.ipynb")
    problems = list(gates.notebook_problems(tmp_path / "x.ipynb"))
    assert "widget state is stored" in problems[0] and "error marker" in problems[1]


def test_a_site_is_lightened_and_no_pixel_changes(tmp_path):
    for folder in ("_images", "_sources", "_static"):
        (tmp_path / folder).mkdir()
    given = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(given).save(tmp_path / "_images/a.png")
    inline = base64.b64encode((tmp_path / "_images/a.png").read_bytes()).decode()
    scripts = "".join(
        f'<script src="_static/{n}?v=1"></script>'
        for n in ("fontawesome.js", "katex.min.js", "searchtools.js", "own.js")
    )
    scripts += '<script src="searchindex.js"></script>'  # as pages of the first folder name it
    look = f'<img alt="A" src="_images/a.png"><a href="_images/a.png">larger</a><img alt="B" src="data:image/png;base64,{inline}">'
    (tmp_path / "math.html").write_text(scripts + look + '<span class="math">x</span>')
    (tmp_path / "search.html").write_text(scripts + '<div id="search-results"></div>')
    (tmp_path / "searchindex.js").write_text("x")
    for name in ("fontawesome.js", "katex.min.js", "searchtools.js", "own.js", "own.js.map"):
        (tmp_path / "_static" / name).write_text("x" * 1000)
    data = {"image/png": inline, "text/html": f'<img src="data:image/png;base64,{inline}">'}
    outputs = [new_output("display_data", data | {"text/plain": "a"})]
    outputs += [new_output("display_data", {"text/html": "<p>a table</p>"})]
    book = new_notebook(cells=[new_code_cell("1", outputs=outputs)])
    nbformat.write(book, tmp_path / "_sources/a.ipynb")
    lighten(tmp_path)
    left = nbformat.read(tmp_path / "_sources/a.ipynb", 4).cells[0].outputs
    assert [list(output.data) for output in left] == [["text/plain"], ["text/html"]]
    assert sorted(p.name for p in (tmp_path / "_static").iterdir()) == [
        "katex.min.js",
        "own.js",
        "searchtools.js",
    ]
    kept = {
        p: re.findall(r"([\w.]+\.js)[?\"]", (tmp_path / p).read_text())
        for p in ("math.html", "search.html")
    }
    assert kept == {
        "math.html": ["katex.min.js", "own.js"],
        "search.html": ["searchtools.js", "own.js", "searchindex.js"],
    }
    page = (tmp_path / "math.html").read_text()
    assert (
        page.count("_images/a.webp") == 2
        and ".png" not in page
        and not list(tmp_path.rglob("*.png"))
    )
    shown = [
        tmp_path / "_images/a.webp",
        io.BytesIO(base64.b64decode(re.search(r"webp;base64,([^\"]+)", page)[1])),
    ]
    assert all(np.array_equal(np.asarray(Image.open(f)), given) for f in shown)
    files = [
        tmp_path / n
        for n in ("math.html", "_images/a.webp", "_static/katex.min.js", "_static/own.js")
    ]
    assert gates.weights(tmp_path)["math.html"] == pytest.approx(
        sum(p.stat().st_size for p in files) / 1e6
    )


def test_page_gate(tmp_path):
    (tmp_path / "other.html").write_text('<p id="here">')
    (tmp_path / "page.html").write_text(
        '<article><img src="a.png" alt="A dot"><img src="data:x" alt=""><img src="data:x" alt="../a.png">'
        '<a href="other.html#here">ok</a><a href="https://x.org">ok</a><a href="#">ok</a>'
        '<a href="other.html#there">bad</a><a href="none.csv">bad</a></article>'
        '<script src="https://cdn.org/x.js"></script><link href="//cdn.org/x.css">'
    )
    problems = list(gates.page_problems(tmp_path))
    assert sum("without alt" in p for p in problems) == 2
    assert sum("request leaves" in p for p in problems) == 2
    assert sum("missing anchor other.html#there" in p for p in problems) == 1
    assert sorted(p.split()[-1] for p in problems if "broken" in p) == ["a.png", "none.csv"]
    assert len(problems) == 7


def claim(name="table1-mse", verdict="inconclusive", **given):
    """A row of a ledger, without a number unless it is given one."""
    row = {"id": name, "item": name.split("-")[0], "statement": "Eight is better.", "note": ""}
    row |= {"paper_value": "not available", "why": "The interval includes zero.", "value": None}
    row |= {"verdict": verdict, "low": None, "high": None, "parts": [], "quantity": "8ch minus 4ch"}
    row |= {
        "kind": "paper",
        "answer": "",
        "trained": "",
        "caveat": "",
        "short": "MSE",
        "seeds": None,
        "room": None,
        "steady": "",
        "again": "",
        "number": "difference",
        "margin": 0,
    }
    return row | {"direction": "less", "property": "", "smallest_detectable": None} | given


def measured(value, low, high, **given):
    """What a row has that was measured."""
    part = {"value": value, "low": low, "high": high, "method": "t"}
    return (
        dict(value=value, low=low, high=high, n=770, parts=[part], smallest_detectable=1e-5) | given
    )


def shown_runs(there=(), here=()):
    """A published run and this build's, with these rows."""
    manifests = (
        {"run": n, "profile": n, "data": d, "commit": "0123456789abcdef", "dirty": False}
        | {"device": "CPU", "notebooks": {"01_data": {"seconds": 90}}, "platform": "Linux"}
        for n, d in (("ham64", "data"), ("micro", "phantom"))
    )
    first = reference.Published("ham64"), list(there), next(manifests) | {"stage_seconds": 11060}
    return [
        pages.Shown(*first, published=True),
        pages.Shown(store.Run("micro"), list(here), next(manifests)),
    ]


def test_ledger_has_a_tab_for_each_run_and_our_questions_apart(project):
    found = measured(-9.02e-5, -9.45e-5, -8.59e-5, trained="generators", verdict="reproduced")
    own = claim(
        "dose", "yes", kind="ours", named="computed since May", source="notebooks/06_x.ipynb"
    )
    runs = shown_runs([claim(verdict="reproduced")], [claim(**found), own])
    text = pages.page("claims", runs)
    first, second = text.split("{tab-item} Phantom: run micro")
    assert "{tab-item} HAM10000: run ham64" in first
    assert "Published; made at commit 0123456789ab. File" in first
    assert "[Table\u00a01](#ham64-table1)" in first and first.count("`reproduced`") == 1
    number = "**−9.02\u00a0×\u00a010<sup>−5</sup> [−9.45\u00a0×\u00a010<sup>−5</sup>, −8.59\u00a0×\u00a010<sup>−5</sup>]**"
    lines = [x for x in second.splitlines() if x.startswith("|") and "[" in x]
    assert f"| {number}, n\u00a0=\u00a0770:<br>8ch minus 4ch.<br>Detectable: " in lines[1]
    assert "Detectable: 1e-05." in lines[1].replace("\u00a0×\u00a010<sup>−5</sup>", "e-05")
    assert lines[1].endswith("`reproduced`<br>one training |") and "(#table1)" in lines[1]
    assert lines[0].startswith("| [Chapter\u00a06](/book/executed/06_x.ipynb) | Eight is better.")
    assert "*Computed since May.*" in lines[0] and lines[0].endswith("{bdg-success}`yes` |")


def test_front_page_answers_says_how_sure_and_counts_what_chance_would_do(project):
    low, seen = measured(-0.2, -0.3, -0.1), dict(property="detail", sight=[True, "MSE sees it."])
    rows = [
        claim("table1-mse", "reproduced", answer="reconstruction", **low | seen),
        claim("fig13-hair", "not reproduced", answer="hair", **low),
        claim("fig14-hair", "not testable here", answer="hair"),
        claim("table2-is", **low | {"direction": "equivalent", "margin": 0.1}),
    ]
    runs = shown_runs([claim(answer="hair", **low)], rows)
    page = pages.page("summary", runs)
    assert "| The paper's statements | On HAM10000, run ham64 | On the phantom, run micro |" in page
    assert "`reproduced` | **0** | **1**: [Table\u00a01](#table1) |" in page
    first, second = page.split("{tab-item} Phantom")
    assert "184 minutes" in first and "2 minutes" in second and "drawn by a program" in second
    assert "**Reconstruction.** The paper: Eight" in second and "**−0.2 [−0.3, −0.1]**" in second
    assert "[Fig\u00a013](#fig13)" in second.split("**Hair.**")[1].split("\n**")[0], (
        "14 is not testable"
    )
    assert "**Samples.** This run has no number" in second
    assert "2 verdicts are on a difference, 1 on a statement that" in second
    assert "0.05 of them" in second and "Steps of training" not in second, "nobody knows them"
    assert "1 number of the ledger depends on what a measure sees. For 1 it saw" in second
    changed = "the library has changed since"
    assert changed not in page
    stale = [replace(run, states={"02_vae": "stale"}) if run.published else run for run in runs]
    first, second = pages.page("summary", stale).split("{tab-item} Phantom")
    assert changed in first and changed not in second
    assert changed in pages.page("claims", stale) and changed not in pages.page("claims", runs)
    rule = pages.page("rule", runs)
    assert (
        "In run micro, with 2 such verdicts, at most 0.05 false ones" in rule
        and "Bonferroni" in rule
    )
    assert "`ham64` | HAM10000, PAD-UFES-20 | 64 | 184 minutes" in pages.page("profiles", runs)
    assert "184 minutes for the stages alone (run ham64, CPU)" in pages.page("profiles", runs)
    runs[0].manifest["notebooks"]["01_data"]["parameters"] = {"unet_steps": 7}
    assert "(run ham64 with unet_steps = 7, CPU)" in pages.page("profiles", runs)
    runs[0].manifest["stage_machines"] = {"a card": 600, "CPU": 120}
    both = "10 minutes on a card; 2 minutes on CPU"
    assert f"unet_steps = 7, {both})" in pages.page("profiles", runs)
    assert f" minutes ({both}), at commit" in pages.page("summary", runs)
    whole = runs[0].manifest
    said = pages.render(
        "published.md", run=runs[0], state="current", manifest=whole, given={}, changed=[]
    )
    assert f"Its stages took {both}." in said


def test_what_a_verdict_cannot_carry_stands_beside_it(project):
    low = measured(-183, -205, -161, trained="generators", verdict="reproduced")
    seeds = measured(-0.331, -0.368, -0.293, trained="classifiers, generators", verdict="no")
    seeds["parts"] = [seeds["parts"][0] | {"method": "t over 2 seeds and 9 clusters"}]
    own = {
        "kind": "ours",
        "named": "today",
        "source": "notebooks/06_x.ipynb",
        "caveat": "It mixes.",
    }
    rows = [claim("table2-fid", **low), claim("endpoint", **seeds | own)]
    rows += [claim("table4-combined-highest", **low), claim("table2-is", **low)]
    first, shown = shown_runs(here=rows)
    said = [shown.beside(row) for row in rows]
    assert said == ["", "", "The clinical images are drawn here, not PAD-UFES-20.", ""], "no table"
    assert (
        first.beside(rows[2]) == "" and shown.beside(claim("table4-combined-highest", "open")) != ""
    )
    shown.run.tables.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "table2": 'model,FD-x,KD-x\nbaseline,5,500\n4ch,9,320\n8ch+ML,3,300\n"8ch+ML, references: none",2,280\n',
        "numbers-04_generation": 'what,value,low,high,n\n"FD-x of 8ch+ML, share of the way to melanoma images alone",1.25,.9,1.6,191\n',
        "endpoint": "comparison,difference,difference low,difference high\na,-.3,-.4,-.2\noriginals + synthetic minus originals + repeats,-.15,-.2,-.1\n",
        "moved": 'fault,score-x,score-x low\n"JPEG, 2",.1,.05\n"JPEG, 6",.2,.1\n"blur, 1",.9,-.1\n',
    }.items():
        (shown.run.tables / f"{name}.csv").write_text(text)
    fid, endpoint, _, score = (shown.beside(row) for row in rows)
    assert (
        "reaches -180, as a share of the whole gain of 8ch+ML 90% with reference images and 82% without."
        in fid
        and "125% [90%, 160%]" in fid
        and "n = 191" in fid
    )
    assert endpoint == "Against R3, which has as many images of each class: -0.15 [-0.2, -0.1]."
    columns = "training images,macro AUC,macro AUC low,macro AUC high"
    (shown.run.tables / "ladder.csv").write_text(f"{columns}\na,.93,.92,.94\nb,.8,.7,.9\n")
    more = shown.beside(rows[1])
    assert more.startswith(endpoint) and more.endswith("answers moves: a 0.93 [0.92, 0.94].")
    assert score == "Faults raise this score too (JPEG by 0.2), so it carries little."
    assert (
        shown.beside(claim("endpoint")) != "" and shown.beside(claim("endpoint", UNTESTABLE)) == ""
    )
    assert "Copies" not in pages.page("summary", [first, shown]), "nobody counted"
    share = "share counted as copies"
    head = f"images,n,{share},{share} low,{share} high\n{copies.CHANCE},9,0,0,.02\n"
    for least, words in ((0.01, "None is clearly more"), (0.03, "**More than chance: 8ch+ML.**")):
        counted = f'{head}8ch+ML,9,.04,{least},.07\n"{copies.PLANTED}",9,1,.98,1\n'
        (shown.run.tables / "copies.csv").write_text(counted)
        page = pages.page("summary", [first, shown])
        assert f"8ch+ML 4.0% [{least:.1%}, 7.0%]; of unseen test images (chance) 0.0%" in page
        assert words in page and copies.PLANTED not in page and "finds 100%." in page
    variety, shares = claim("fig9-diversity", **low), shown.run.tables / "moved-shares.csv"
    assert shown.beside(variety) == ""
    shares.write_text(
        'fault,recall\n"blur, 0.7 px",-.22\n"typical ones only, 50 % left out",-.25\n'
    )
    assert "moves -0.22 by blur, 0.7 px and -0.25 by typical" in shown.beside(variety)
    width = claim("table1-mse", **low)
    for gain, new, part in (
        (0.9, 0.04, "Without all new channels a copy loses 0.04 dB, without one of the old 0.5 dB"),
        (0.9, -0.04, "loses nothing, without one of the old 0.5 dB"),
        (0.03, 0.04, ""),  # what the new channels carry is most of a small gain
    ):
        gained = f"model,PSNR (dB)\n4ch,30\n8ch minus 4ch,{gain}\n"
        (shown.run.tables / "table1.csv").write_text(gained)
        lost = "channel,new,PSNR lost (dB)\n0,no,9\n1,no,.5\n2,yes,.01\n3,yes,-.02\n"
        (shown.run.tables / "channels.csv").write_text(lost)
        joint = f"what,value\nPSNR (dB) lost without all new channels,{new}\n"
        (shown.run.tables / "numbers-02_vae.csv").write_text(joint)
        said = shown.beside(width)
        assert part in said and bool(part) == bool(said)
    assert shown.trained() == {"generators": (4, 0), "classifiers": (1, 1)}
    assert shown.lengths() == "", "this manifest does not say which profiles.toml it was"
    shown.manifest["library"] = code.library_hashes(shown.manifest["profile"])
    shown.manifest["notebooks"]["01_data"]["parameters"] = {"unet_steps": 7}
    assert "autoencoders 2,000 (14,100), denoisers 7 (15,000)" in shown.lengths()
    page = pages.page("claims", [first, shown])
    line = next(line for line in page.splitlines() if "Against R3" in line)
    assert "It mixes." in line and line.endswith("2 trainings |")
    assert "[-0.368" not in line and "The interval" not in line, "it stands there already"


def test_every_interval_has_its_claimed_side_to_the_right(project):
    rows = [
        claim("table1-mse", **measured(-0.2, -0.3, -0.1)),
        claim("table3-up", **measured(0.3, 0.2, 0.4), direction="greater", margin=0.1),
        claim("table4-down", **measured(0.2, 0.1, 0.3)),
        claim("table2-is", **measured(0.1, -0.1, 0.3), direction="equivalent", margin=0.1),
        claim("fig11-alpha", **measured(0.1, 0, 0.2), direction="none"),
        claim("fig14-hair"),
    ]
    table = front.intervals(shown_runs(here=rows)[1])
    by = table.set_index("label")[["value", "low", "high"]].round(6).T.to_dict("list")
    assert by == {
        "Table\u00a01: MSE": [2, 1, 3],
        "Table\u00a02: MSE": [1, -1, 3],
        "Table\u00a03: MSE": [2, 1, 3],
        "Table\u00a04: MSE": [-2, -3, -1],
    }
    assert table.equivalence.sum() == 1


def test_front_page_s_pictures_are_a_run_s_own(project):
    runs = shown_runs([claim(**measured(-90, -91, -89))], [claim(), claim(**measured(-2, -3, 1))])
    for shown, grey in zip(runs, (0, 1), strict=True):
        shown.run.figures.mkdir(parents=True, exist_ok=True)
        plt.imsave(shown.run.figures / "fig09.png", np.full((9, 9), grey), vmin=0, vmax=1)
    folder = project / "made"
    files = front.pictures(runs, folder)
    assert files["ham64"] == {
        "fig9": "ham64-fig9.png",
        "front": "front-ham64.png",
        "intervals": "intervals-ham64.png",
    }
    assert files["micro"]["fig9"] == "fig9.png" and {p.name for p in folder.iterdir()} == {
        name for own in files.values() for name in own.values()
    }
    page = pages.page("summary", runs, files)
    assert "their frames are empty" in page.split("Phantom")[0] and page.count("empty") == 1
    assert "ham64-fig9.png" in pages.page("items", runs, files)


def test_minutes_have_one_source(project):
    runs = shown_runs()
    assert "From nothing" not in pages.page(
        "command", runs
    ) and "`micro` in this copy took 2 minutes" in (pages.page("command", runs))
    (project / "bench/results").mkdir(parents=True)
    head = "processor,instructions,precision,threads,cold\n"
    (project / "bench/results/book.csv").write_text(
        head + "a,AVX2,float32,2,884\nb,AMX,bfloat16,2,740\n"
    )
    said = "12 minutes with AMX and bfloat16 on 2 threads; 15 minutes with AVX2"
    assert said in pages.page("command", runs) and said in pages.page("profiles", runs)
    typed = [
        f"{path.name}: {found[0]}"
        for path in (ROOT / "index.md", *(ROOT / "book").glob("*.md"))
        for line in path.read_text().splitlines()
        if not line.startswith(tuple(f"| {card} |" for card in cost.CARDS))  # counted by the plan
        for found in re.finditer(r"\b\d+ (minutes|hours)\b", line)
    ]
    assert typed == [], "a page's minutes come from a manifest or from bench/results/book.csv"
    measured = pd.read_csv(ROOT / "bench/results/book.csv").cold.sort_values() / 60
    line = " | ".join(f"{n:.0f} minutes" for n in measured)
    assert f"everything from nothing | {line} |" in (ROOT / "README.md").read_text()


def test_every_measured_table_is_on_the_status_page(monkeypatch):
    monkeypatch.delenv("SKINSYNTH_ROOT", raising=False)
    whole = {
        "run": "micro",
        "data": "phantom",
        "device": "CPU",
        "platform": "Linux",
        "notebooks": {},
    }
    whole |= {"profile": "micro", "versions": {"torch": "2"}}
    page = pages.page("status", [pages.Shown(store.Run("micro"), [], whole)])
    files = sorted((ROOT / "bench" / "results").glob("*.csv"))
    assert page.count("Measured on ") == len(files) - 1 > 5 and "| torch | 2 |" in page
    assert (
        "| Processor | Instructions |" in page
        and "| Speed of the first row |" in page
        and "1 threads" not in page
        and "\n\n\n\n" not in page
    )
