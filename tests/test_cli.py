"""A user's mistake is one line on stderr and exit code 1, from the command line too."""

import errno

import pytest

from skinsynth import __version__, cli
from skinsynth.core import store
from skinsynth.project import ledger


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--profile", "macro"], "unknown profile 'macro'; choose one of: smoke, micro"),
        (["run", "-p", "guidence=2"], "unknown parameter 'guidence'"),
        (["run", "-p", "seed=much"], "seed should be int, got str 'much'"),
        (["run", "-p", "vae_steps=-3"], "vae_steps should not be below zero, got -3"),
        (["run", "--data", "nowhere"], "nowhere: no such data folder"),
        (["run", "--profile", "ham64"], "profile ham64 reads HAM10000"),
        (["status", "--profile", "macro"], "unknown profile"),
        (["book"], "no executed notebooks"),
        (["evaluate", "folder", "-p", "guidence=2"], "unknown parameter 'guidence'"),
    ],
)
def test_mistakes_are_one_line(project, capsys, arguments, message):
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert message in said and said.startswith("skinsynth: ") and said.count("\n") == 1
    assert not (project / "book").exists()


def test_full_disk_is_one_line(project, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere.npy")

    monkeypatch.setattr("skinsynth.project.run.run_notebooks", full)
    assert cli.main(["run"]) == 1
    assert (
        capsys.readouterr().err
        == "skinsynth: disk full (somewhere.npy); free space and run again\n"
    )


def test_other_errors_are_not_hidden(project, monkeypatch):
    def broken(*arguments, **options):
        raise FileNotFoundError(errno.ENOENT, "no", "a fault of ours")

    monkeypatch.setattr("skinsynth.project.run.run_notebooks", broken)
    with pytest.raises(FileNotFoundError):
        cli.main(["run"])


def test_status_and_version(project, capsys):
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.count("missing") == 3
    assert cli.main(["--version"]) == 0 and __version__ in capsys.readouterr().out
    assert cli.main(["run", "--nonsense"]) == 2


def test_claims_of_a_run_never_made_are_refused(project, capsys):
    """Point 8: not "not testable here" with exit status 0, and no folder in the name of such a run."""
    assert cli.main(["claims", "--profile", "smoke"]) == 1
    out, said = capsys.readouterr()
    assert "smoke: no notebook of this run was executed; `skinsynth run --profile smoke`" in said
    assert out == "" and said.count("\n") == 1 and not (project / "results" / "smoke").exists()


def test_claims_prints_every_claim(project, capsys):
    ledger.record(store.Run("smoke"), "table1-mse", [], "smoke")
    assert cli.main(["claims", "--profile", "smoke"]) == 0
    assert "table1-mse" in capsys.readouterr().out


def test_drawn_data_is_verified_and_a_damaged_file_is_named(project, capsys):
    folder = project / "drawn"
    assert cli.main(["data", "phantom", str(folder), "--profile", "smoke"]) == 0
    assert cli.main(["data", "verify", str(folder)]) == 0
    capsys.readouterr()
    image = next((folder / "ham10000").glob("HAM10000_images*/*.png"))
    image.write_bytes(image.read_bytes()[:100])
    assert cli.main(["data", "verify", str(folder)]) == 1
    assert image.stem in capsys.readouterr().out
    assert cli.main(["data", "verify", str(project / "nowhere")]) == 1
    assert cli.main(["data", "fetch", str(folder), "--only", "nonsense"]) == 1
