"""Stages are computed once for each content; files are whole or absent."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from skinsynth.core import code, store
from skinsynth.core.errors import UserError
from skinsynth.numerics import arrays


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path))
    return store.Run("test")


def _stage(name, function):
    """A stage whose code is counted as the given module's (tests are not in the package)."""
    function.__module__ = "skinsynth.numerics.stats"
    return store.stage(name)(function)


def test_a_stage_is_computed_once_and_depends_on_its_inputs(run):
    calls = []

    def make(out, *, value, before=None):
        calls.append(value)
        (out / "value.txt").write_text(str(value))

    make = _stage("make", make)
    first = make(run, value=1)
    assert make(run, value=1) == first and calls == [1]
    second = make(run, value=2)
    assert second.key != first.key
    assert make(run, value=1, before=first).key != make(run, value=1, before=second).key
    assert make(store.Run("other"), value=1).path == first.path, "found in any run"


def test_unfinished_stage_is_resumed_in_its_folder(run):
    tries = []

    def make(out, *, value):
        tries.append((out / "half.txt").exists())
        (out / "half.txt").write_text("x")
        if len(tries) == 1:
            raise KeyboardInterrupt

    make = _stage("make", make)
    with pytest.raises(KeyboardInterrupt):
        make(run, value=1)
    make(run, value=1)
    assert tries == [False, True]


def _slow_stage(folder, queue):
    import os
    import time

    os.environ["SKINSYNTH_RESULTS"] = folder

    def make(out, *, value):
        queue.put("made")
        time.sleep(0.5)

    _stage("slow", make)(store.Run("test"), value=1)


def test_a_finished_stage_whose_file_is_cut_off_is_named_with_the_mend(run):
    """Issue 20, point 11: not a traceback of safetensors, and not what is left of the weights."""

    def make(out, *, value):
        (out / "deep").mkdir(exist_ok=True)
        (out / "deep" / "model.safetensors").write_bytes(b"x" * 100)

    make = _stage("make", make)
    made = make(run, value=1)
    for spoil in (lambda path: path.write_bytes(b"x" * 40), lambda path: path.unlink()):
        store._whole.cache_clear()  # as in another program
        spoil(path := made / "deep/model.safetensors")
        with pytest.raises(UserError) as error:
            make(run, value=1)
        left = 40 if path.exists() else 0
        wrong = f"{path}: {left} bytes of 100 are there; remove {made.path}, the next run makes it"
        assert str(error.value).startswith(wrong)
    shutil.rmtree(made.path)
    assert (make(run, value=1) / "deep/model.safetensors").stat().st_size == 100
    (made / "stage.json").write_text('{"files": ')
    store._whole.cache_clear()
    with pytest.raises(UserError, match="stage.json: broken .*; remove it and run again"):
        make(run, value=1)


def test_what_killed_programs_left_half_written_is_swept(run):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    run_twice = []

    def make(out, *, value):
        assert not run_twice or [p.name for p in out.glob(".*")] == [f".b.{os.getpid()}.json"]

    make = _stage("make", make)
    folder = run.stages / f"make-{make(run, value=1).key}"
    (folder / "stage.json").unlink()
    run_twice.append(True)
    for name in (f".a.{gone.pid}.json", f".b.{os.getpid()}.json", "deep/.c.1.x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    make(run, value=1)
    assert (folder / "deep/.c.1.x").exists(), "of a program that runs"


def test_two_processes_compute_a_stage_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=_slow_stage, args=(str(tmp_path), queue)) for _ in range(2)]
    for p in both:
        p.start()
    for p in both:
        p.join()
        assert p.exitcode == 0
    assert queue.get(timeout=5) == "made" and queue.empty()


def test_key_sees_code_but_not_prose(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text('"""Doc."""\nfrom . import b\nX = 1  # why\n')
    (tmp_path / "b.py").write_text("Y = 1\n")
    monkeypatch.setattr(code, "PACKAGE", tmp_path)

    def key():
        code._module.cache_clear()
        code.code_hash.cache_clear()
        return code.code_hash("a")

    first = key()
    (tmp_path / "a.py").write_text('"""Other words."""\nfrom . import b\n\nX = 1\n')
    assert key() == first
    (tmp_path / "b.py").write_text("Y = 2\n")
    assert key() != first, "an imported module counts"
    code._module.cache_clear()
    code.code_hash.cache_clear()


def test_atomic_leaves_nothing_half_written(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(ValueError), store.atomic(target) as part:
        part.write_text("new")
        raise ValueError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_full_disk_is_an_error_and_leaves_the_old_file(tmp_path):
    """On a file system of one megabyte that the test mounts in a namespace of its own."""
    code = textwrap.dedent("""
        import pathlib, sys
        from skinsynth.core import errors, store
        folder = pathlib.Path(sys.argv[1])
        store.write_json(folder / "a.json", "old")
        try:
            store.write_json(folder / "a.json", "x" * 2_000_000)
        except OSError as error:
            print(str(errors.of_system(error, 0)) == f"disk full ({folder}/a.json); free space and run again",
                store.read_json(folder / "a.json"), len(list(folder.iterdir())))
    """)
    shell = (
        f"mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -c '{code}' {tmp_path}"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", shell], capture_output=True, text=True)
    if done.returncode and "Operation not permitted" in done.stderr:
        pytest.skip("this machine allows no mount in a namespace")
    assert done.stdout.split() == ["True", "old", "1"], done.stderr


def test_a_short_write_of_an_array_says_that_the_disk_is_full(tmp_path):
    """numpy names neither cause nor file of a short write; a limit on the file size provokes one."""
    code = (
        "import resource, signal, sys, numpy as np; from skinsynth.numerics.arrays import save_array;"
        "from skinsynth.core.errors import FULL, number; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    save_array(sys.argv[1], np.zeros(100_000))\n"
        "except OSError as error:\n    print(number(error) in FULL, error.filename)"
    )
    target = tmp_path / "x.npy"
    done = subprocess.run(
        [sys.executable, "-c", code, target], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", str(target)] and not list(tmp_path.iterdir())


def test_rows_read_what_the_arrays_hold_and_copy_nothing(tmp_path):
    first = arrays.map_array(
        tmp_path / "a.npy", lambda x: x * 2, np.arange(2500 * 3).reshape(2500, 3)
    )
    second = np.arange(100, 109).reshape(3, 3)
    whole = np.concatenate([first[[7, 2499, 0]], second[[True, False, True]]])
    rows = arrays.Rows((first, [7, 2499, 0]), (second, np.array([True, False, True])))
    assert len(rows) == 5 and rows.shape == (5, 3) and rows.dtype == whole.dtype
    for index in (
        slice(None),
        slice(2, 4),
        np.array([4, 0, 0, 3]),
        np.array([], int),
        whole[:, 0] > 100,
    ):
        assert np.array_equal(rows[index], whole[index])
    assert (
        np.array_equal(np.asarray(rows), whole) and np.asarray(rows, np.float32).dtype == np.float32
    )
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.arange(2500 * 3).reshape(2500, 3) * 2)
    assert rows.parts[0][0] is first, "a view, not a copy"
    with pytest.raises(IndexError):
        rows[np.array([5])]
