"""Machines as people have them (issue 20, point 11): one line or it works, nothing half-written, and the next run goes on."""

import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import psutil
import pytest
from conftest import write_notebook

from skinsynth import cli
from skinsynth.book import site
from skinsynth.core import errors
from skinsynth.project import run as runner

ORDER = ["run", "--profile", "smoke", "--only", "01"]
LINE = [sys.executable, "-m", "skinsynth.cli", *ORDER]


def half_written(project):
    return [p for p in project.rglob(".*") if p.is_file() and not p.name.endswith(".lock")]


def one_line(capsys, code=1):
    assert cli.main(ORDER) == code
    said = capsys.readouterr().err
    assert said.startswith("skinsynth: ") and said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "disk full ("),
        (errno.EDQUOT, "disk full ("),
        (errno.EACCES, ": Permission denied; let yourself read and write it, or choose another"),
        (errno.EROFS, ": Read-only file system; let yourself"),
        (errno.EIO, ": Input/output error; the disk or its connection is broken"),
    ],
)
def test_a_results_folder_that_takes_no_file_is_one_line(
    project, capsys, monkeypatch, number, says
):
    def refused(source, target):
        raise OSError(number, os.strerror(number), str(source), None, str(target))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refused)
        said = one_line(capsys)
    assert says in said and str(project) in said and half_written(project) == []
    assert cli.main(ORDER) == 0


def test_a_file_in_the_place_of_a_folder_is_one_line(project, capsys):
    for place in (project / "results", project / "results/smoke"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("mine")
        assert f"{place}" in one_line(capsys) and place.read_text() == "mine"
        place.unlink()
    assert cli.main(ORDER) == 0


def test_a_file_in_the_place_of_the_site_is_one_line(project):
    (project / "_build").write_text("mine")
    with pytest.raises(NotADirectoryError) as error:
        site.make()
    said = str(errors.of_system(error.value, project))
    assert said.startswith(
        f"{project / '_build'}: Not a directory; a file lies where a folder should"
    )


def test_a_folder_of_another_owner_is_one_line(project):
    """The superuser may write everywhere, so it gives that power away."""
    (project / "results").mkdir(mode=0o555)
    order = LINE if os.getuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *LINE]
    try:
        done = subprocess.run(order, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no setpriv on this machine")
    said = "smoke: Permission denied; let yourself read and write it, or choose another folder"
    assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1
    assert list((project / "results").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[Errno 13] Permission denied: '/a b/x.npy'",
            "/a b/x.npy: Permission denied; let yourself",
        ),
        ("[Errno 1] x: '/a/.x.7.csv' -> '/a/x.csv'", "/a/.x.7.csv: Operation not permitted; let"),
        ('[Errno 28] No space left: "/a\'s/x"', "disk full (/a's/x); free space and run again"),
        ("I/O error: Disk quota exceeded (os error 122)", "disk full (there); free space and"),
        ("I/O error: Permission denied (os error 13)", "there: Permission denied; let yourself"),
    ],
)
def test_an_error_in_a_notebook_says_as_much(text, says):
    assert str(errors.of_system(text, "there")).startswith(says)
    error = SimpleNamespace(cell_index=3, ename="OSError", evalue=text)
    assert says.replace("there", "").split(";")[-1] in runner.explain("01_data", error)
    error = SimpleNamespace(cell_index=3, ename="KeyError", evalue="'mel'")
    assert runner.explain("01_data", error) == "notebooks/01_data.ipynb, cell 3: KeyError: 'mel'"


def test_a_poor_machine_works(project, tmp_path):
    """No home, the C locale, blanks and letters in the path, another working folder, a full temporary folder, a kernelspec that is
    broken, and one that is another environment's."""
    root = project / "mein Projekt für Häute"
    write_notebook(root, "01_data", "import matplotlib.pyplot\nprint('Häute')")
    for name, text in (("python3", "{"), ("python4", '{"argv": ["/none/python"]}')):
        spec = project / "jupyter/kernels" / name / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(text)
    (full := project / "full").mkdir()
    variables = dict(LC_ALL="C", LANG="C", HOME="/proc/none", TMPDIR=str(full))
    variables |= dict(SKINSYNTH_ROOT=str(root), SKINSYNTH_RESULTS=str(root / "results"))
    variables |= dict(JUPYTER_PATH=str(project / "jupyter"))
    shell = f'mount -t tmpfs -o size=4k none {full} && head -c 4096 /dev/zero > {full}/x; exec "$@"'
    order = ["unshare", "-rm", "sh", "-c", shell, "sh", *LINE]
    for said in ("1 notebooks executed: 01_data", "nothing changed"):
        done = subprocess.run(
            order, capture_output=True, text=True, cwd="/", env=os.environ | variables
        )
        if done.returncode and "Operation not permitted" in done.stderr:
            pytest.skip("this machine allows no mount in a namespace")
        assert done.returncode == 0 and said in done.stdout, done.stderr
    assert "H\\u00e4ute" in ascii((root / "book/executed/01_data.ipynb").read_text()).replace(
        "\\xe4", "\\u00e4"
    )
    assert half_written(root) == []


def test_a_kernel_that_does_not_start_is_one_line(project, capsys, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    said = one_line(capsys)
    assert "notebooks/01_data.ipynb: no kernel starts" in said and "make install" in said


@pytest.mark.parametrize(
    ("kind", "whole"), [(signal.SIGTERM, False), (signal.SIGHUP, False), (signal.SIGTERM, True)]
)
def test_a_signal_ends_a_run_as_ctrl_c_does(project, kind, whole):
    """whole: its kernel is killed as well, as a queue does with all programs of a job."""
    mark = project / "mark"
    body = f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
    write_notebook(project, "01_data", body + "time.sleep(600)")
    # under nohup, as this test may be, it is ignored, by right
    heard = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    pipes = dict(stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    work = subprocess.Popen(LINE, preexec_fn=heard, **pipes)
    end = time.monotonic() + 600
    while not (mark.exists() and mark.read_text()) and time.monotonic() < end:
        time.sleep(0.1)
    work.send_signal(kind)
    if whole:
        os.kill(int(mark.read_text()), signal.SIGKILL)
    said = work.communicate(timeout=600)[1]
    assert work.returncode == 130 and said.strip() == "skinsynth: interrupted; run again to go on"
    assert not psutil.pid_exists(int(mark.read_text())), "the kernel goes on"
    assert half_written(project) == []
    write_notebook(project, "01_data", "print(1)")
    assert cli.main(ORDER) == 0


STUMBLE = """import os, signal, sys, time
from skinsynth import cli
@cli.cli.command()
def stumble():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt as error:
        raise RuntimeError("initialization failed") from error
sys.exit(cli.main(["stumble"]))"""


def test_a_signal_that_a_library_turns_into_an_error_is_a_signal_still():
    """As diffusers does where it is being imported."""
    done = subprocess.run([sys.executable, "-c", STUMBLE], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "skinsynth: interrupted; run again to go on\n"


def test_what_a_killed_run_left_is_swept_and_a_clock_set_back_changes_nothing(project, capsys):
    assert cli.main(ORDER) == 0
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = ["results/smoke/", "results/smoke/executed/", "results/smoke/figures/source/"]
    for folder in (*left, "book/executed/"):
        (project / folder).mkdir(parents=True, exist_ok=True)
        (project / folder / f".01_data.{gone.pid}.ipynb").touch()
    for path in project.rglob("*"):  # as a clock that was a year ahead leaves them
        os.utime(path, (time.time() + 3e7,) * 2)
    capsys.readouterr()
    assert cli.main(ORDER) == 0 and capsys.readouterr().out == "nothing changed\n"
    assert half_written(project) == []
    (project / "results/smoke/manifest.json").write_text("{")
    assert "manifest.json: broken" in one_line(capsys)
