"""The runner executes what changed and nothing else, and leaves nothing half-written."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT, write_notebook

from skinsynth import phantom
from skinsynth.core.code import SETTINGS, library_hash, library_hashes
from skinsynth.core.errors import UserError
from skinsynth.core.store import Run
from skinsynth.data import layouts
from skinsynth.project import chapters, state
from skinsynth.project import run as runner

ALL = ["01_data", "02_vae", "04_generation"]


@pytest.fixture(autouse=True)
def one_library(monkeypatch):
    """The library does not change while a test runs, whoever edits it."""
    value = library_hash("smoke")
    monkeypatch.setattr("skinsynth.core.code.library_hash", lambda profile: value)


def execute(**options):
    return runner.run_notebooks("smoke", say=lambda line: None, **options)


def test_runs_all_then_nothing_then_what_changed(project):
    assert execute() == ALL
    page = nbformat.read(project / "book" / "executed" / "02_vae.ipynb", 4)
    assert page.cells[2].source == '# Parameters\nprofile = "smoke"\n'
    assert str(project) not in str(page.metadata)
    assert not list(project.rglob("*/.0*.ipynb"))
    assert execute() == []

    assert execute(parameters={"guidance": 2.0}) == ["04_generation"]
    assert state.manifest(Run("smoke"))["notebooks"]["04_generation"]["parameters"] == {
        "guidance": 2.0
    }
    assert set(state.status(Run("smoke")).values()) == {"current"}

    write_notebook(project, "02_vae", "print(profile)", prose="Other prose.")
    assert state.status(Run("smoke"))["02_vae"] == "stale"
    before = nbformat.read(project / "book" / "executed" / "02_vae.ipynb", 4)
    assert execute(parameters={"guidance": 2.0}) == [], "prose alone executes nothing"
    after = nbformat.read(project / "book" / "executed" / "02_vae.ipynb", 4)
    assert "Other prose." in after.cells[0].source and "Some prose." in before.cells[0].source
    shown = [
        [(c.source, c.outputs, c.execution_count) for c in p.cells if c.cell_type == "code"]
        for p in (before, after)
    ]
    assert shown[0] == shown[1] and after.metadata == before.metadata
    assert state.status(Run("smoke"))["02_vae"] == "current"
    write_notebook(project, "02_vae", "print(profile, 2)")
    assert execute(only=["04"], parameters={"guidance": 2.0}) == ["02_vae", "04_generation"]


def test_without_masks_only_chapters_run_that_need_none(project):
    phantom.write_dataset(project / "data", size=16, n_train=84, n_test_lesions=1, n_pad=6)
    given = dict(data=str(project / "data"))
    shutil.rmtree(project / "data/ham10000" / layouts.MASK_FOLDER)
    with pytest.raises(
        UserError, match="no lesion masks, which 04_generation needs: add HAM10000_seg"
    ):
        execute(**given)
    assert not list((project / "results").rglob("*.ipynb")), "before any work"
    assert execute(only=["01"], **given) == ["01_data"]


def test_a_key_names_library_data_profile_and_claims(project, monkeypatch):
    def keys(profile="smoke", ham="x"):
        return {n: state.computes(k) for n, k in state.keys(ALL, {}, profile, {"ham": ham}).items()}

    first, others = keys(), [keys("micro"), keys(ham="y")]
    with monkeypatch.context() as patch:
        patch.setattr("skinsynth.core.code.library_hash", lambda profile: "other")
        others.append(keys())
    assert keys() == first
    (project / "book").mkdir()
    (project / "book" / "claims.yml").write_text("one: {}")
    others.append(keys())
    assert all(other[name] != first[name] for other in others for name in ALL)


def test_of_the_settings_only_the_own_profile_counts():
    smoke, micro = library_hashes("smoke"), library_hashes("micro")
    assert {name for name in smoke if smoke[name] != micro[name]} == {SETTINGS}


def test_manifest_says_where_numbers_come_from(project):
    execute(only=["01"])
    whole = state.manifest(Run("smoke"))
    assert {"commit", "dirty", "versions", "device", "machine", "inputs", "profile"} <= set(whole)
    assert whole["data"] == "phantom" and whole["versions"]["torch"]
    assert {"processor", "instructions", "precision", "threads"} <= set(whole["machine"])
    entry = whole["notebooks"]["01_data"]
    assert entry["status"] == "completed" and entry["seconds"] > 0 and len(entry["key"]) == 32
    assert execute(only=["01"], force=True) == ["01_data"]


def test_a_failure_is_one_line_and_keeps_the_last_good_page(project):
    execute(only=["01"])
    good = (project / "book" / "executed" / "01_data.ipynb").read_bytes()
    write_notebook(project, "01_data", "print(1)", "raise ValueError('two\\nlines')")
    with pytest.raises(UserError) as caught:
        execute()
    assert str(caught.value) == "notebooks/01_data.ipynb, cell 4: ValueError: two lines"
    run = Run("smoke")
    assert (run.root / "executed" / "01_data.ipynb").read_bytes() == good
    assert (run.root / "failed" / "01_data.ipynb").exists()
    assert not list(project.rglob("*/.0*.ipynb"))
    assert state.status(run)["01_data"] == "failed"
    assert "02_vae" not in state.manifest(run)["notebooks"]

    body = (
        "from skinsynth.core.errors import UserError\nraise UserError('metadata.csv: no column dx')"
    )
    write_notebook(project, "01_data", body)
    with pytest.raises(
        UserError, match=r"^notebooks/01_data.ipynb, cell 3: metadata.csv: no column dx$"
    ):
        execute()
    write_notebook(project, "01_data", "raise OSError(28, 'No space left on device')")
    with pytest.raises(UserError, match="disk full .* free space and run again"):
        execute()
    body = "raise RuntimeError('I/O error: No space left on device (os error 28)')"  # as safetensors says it
    write_notebook(project, "01_data", body)
    with pytest.raises(UserError, match="disk full .* free space and run again"):
        execute()
    write_notebook(project, "01_data", "print('mended')")
    assert execute(only=["01"]) == ["01_data"]
    assert not (run.root / "failed" / "01_data.ipynb").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"parameters": {"guidanc": 2.0}},
            "unknown parameter 'guidanc'; known: profile, .*guidance",
        ),
        ({"parameters": {"guidance": "2"}}, "guidance should be float, got str '2'"),
        ({"parameters": {"extras": "false"}}, "extras should be bool"),
        ({"parameters": {"guidance": 2.0}, "only": ["02"]}, "unknown parameter 'guidance'"),
        ({"parameters": {"profile": "micro"}}, "own option: --profile"),
        ({"only": ["07"]}, "no notebook begins with '07'"),
        ({"data": "nowhere"}, "nowhere: no such data folder"),
    ],
)
def test_bad_input_stops_before_any_work(project, options, message):
    with pytest.raises(UserError, match=message):
        execute(**options)
    assert not (project / "results").exists() and not (project / "book").exists()


def test_command_line_values_take_the_type_of_the_default(project):
    pairs = ["guidance=2", "extras=True", "seed=3"]
    assert chapters.parse(pairs, ALL) == {"guidance": 2, "extras": True, "seed": 3}
    assert chapters.parse(["guidance=1e-3", "data=3"], ALL) == {"guidance": 1e-3, "data": "3"}
    for pair in (
        "extras=1",
        "seed=2.5",
        "seed=true",
        "guidance=much",
        "guidance",
        "guidence=2",
        "seed={[]}",
        f"seed={'-' * 9000}",
    ):
        with pytest.raises(UserError):
            chapters.parse([pair], ALL)


def test_prose_does_not_reach_downstream_but_code_does(project):
    def key():
        return state.keys(ALL, {}, "smoke", {})

    before = key()
    write_notebook(project, "01_data", "print(profile)", prose="Better prose.")
    prose = key()
    assert prose["01_data"] != before["01_data"] and prose["02_vae"] == before["02_vae"]
    write_notebook(project, "01_data", "print(profile, 1)")
    assert all(key()[n] != before[n] for n in ALL)


def test_data_identity_sees_tables_and_sizes(tmp_path):
    folder = tmp_path / "ham10000"
    (folder / "HAM10000_images").mkdir(parents=True)
    table = folder / "HAM10000_metadata.csv"
    table.write_text("image_id,lesion_id,dx\na,l,nv\n")
    (folder / "HAM10000_images/a.jpg").write_text("1")
    first = state.identity(str(tmp_path))
    other = tmp_path.with_name("other")
    tmp_path.rename(other)
    assert state.identity(str(other)) == first  # where it lies does not matter
    (other / "ham10000/notes.csv").write_text("dx\nnv\n")
    for path, text, same in (
        ("notes.txt", "x", True),
        ("HAM10000_images/a.jpg", "12", False),
        ("HAM10000_metadata.csv", "image_id,lesion_id,dx\na,l,mel\n", False),
    ):
        before = state.identity(str(other))
        (other / "ham10000" / path).write_text(text)
        layouts.identity.cache_clear()
        assert (state.identity(str(other)) == before) == same, path
    tmp_path.mkdir()


def test_two_processes_share_a_run(project):
    write_notebook(project, "01_data", "import time; time.sleep(1)")
    order = [sys.executable, "-m", "skinsynth.cli", "run", "--profile", "smoke", "--only", "01"]
    options = {"cwd": ROOT, "env": dict(os.environ), "stdout": subprocess.PIPE, "text": True}
    pair = [subprocess.Popen(order, **options) for _ in range(2)]
    said = sorted(p.communicate(timeout=600)[0].splitlines()[-1] for p in pair)
    assert [p.returncode for p in pair] == [0, 0]
    assert said == ["1 notebooks executed: 01_data", "nothing changed"]
