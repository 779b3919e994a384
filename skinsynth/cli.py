"""The command line: thin wrappers; a user's mistake or a full disk is one line, not a traceback."""

import json
import os
import sys

import click

from . import __version__
from .core.config import PROFILES, configure
from .core.errors import UserError
from .core.store import Run, disk_full, results_root
from .networks.table import NETWORKS

profile_option = click.option(
    "--profile", default="micro", show_default=True, help="One of: " + ", ".join(PROFILES)
)
data_option = click.option(
    "--data",
    default="",
    envvar="SKINSYNTH_DATA",
    help="Folder with ham10000/; without it the phantom.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli():
    """Run the notebooks, build the book, look after the data."""


def _run(profile, data):
    from .project.chapters import data_folder

    return Run(configure(profile, data=data_folder(data, profile)).run)


@cli.command()
@profile_option
@data_option
@click.option("--only", multiple=True, help="Notebook by number, such as 04; can be repeated.")
@click.option(
    "-p", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter of the notebooks."
)
@click.option("--force", is_flag=True, help="Execute even what has not changed.")
def run(profile, data, only, pairs, force):
    """Execute the notebooks that changed."""
    from .project import run as runner

    def ahead(*given):
        from .book.plan import announced  # here, because it imports every network

        return announced(*given)

    given = runner.parse(pairs, runner.notebooks())
    done = runner.run_notebooks(profile, data, only, given, force, say=click.echo, ahead=ahead)
    click.echo(f"{len(done)} notebooks executed: {', '.join(done)}" if done else "nothing changed")


@cli.command()
@profile_option
@data_option
@click.option(
    "-p", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter of the notebooks."
)
def plan(profile, data, pairs):
    """Say what a run will cost on this machine: every stage, its time, memory and disk."""
    from .book import plan
    from .core import machine
    from .project import run as runner

    names = runner.notebooks()
    cfg = runner.configured(profile, data, runner.assign(runner.parse(pairs, names), names))
    shown, left = plan.summary(plan.table(Run(cfg.run), cfg))
    click.echo(shown.to_string(index=False, float_format="{:.2f}".format))
    click.echo(
        f"On {machine.sentence()}: {plan.words(left)} of stages left, at most {shown.memory_GiB.max():.1f} GiB of memory in a "
        f"process, {shown.disk_GiB.sum():.1f} GiB of disk in all. Estimates, from this machine's speed with small networks."
    )


@cli.command()
@click.option(
    "--run", "name", default="", help="Name of the run; the one executed last by default."
)
@click.option("--pdf", is_flag=True, help="Also print the whole book as one PDF (needs Chromium).")
def book(name, pdf):
    """Build the site from a run's executed notebooks, strictly, and check it."""
    from .book.site import build

    problems = build(name, pdf=pdf, say=click.echo)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)


@cli.command()
@profile_option
@data_option
def publish(profile, data):
    """Put a finished run into book/reference, without photographs, as the second part of the book."""
    from .book import reference
    from .project.chapters import data_folder

    cfg = configure(profile, data=data_folder(data, profile))
    folder, withheld = reference.publish(Run(cfg.run), cfg)
    click.echo(
        f"{folder}: {withheld} tiles show a photograph, or something too like one, and are left out"
    )


@cli.command()
@profile_option
@data_option
def status(profile, data):
    """Say what this machine computes with, and of each notebook whether its results are current."""
    from .core import machine
    from .project import run as runner

    target = _run(profile, data)
    entries = runner.manifest(target)["notebooks"]
    click.echo(f"this machine: {machine.sentence()}")
    for name, state in runner.status(target, data).items():
        entry = entries.get(name, {})
        click.echo(
            f"{name:18}{state:10}{entry.get('seconds', 0):8.0f} s  {entry.get('commit', '')[:12]}"
        )


@cli.command()
@profile_option
@data_option
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of one line a claim.")
def claims(profile, data, as_json):
    """Print the ledger: what the paper claims and what the run found."""
    from .project.ledger import evaluate

    rows = evaluate(_run(profile, data))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['verdict']:20} {row['id']:26} {row['statement']}")


@cli.command()
@click.argument("first")
@click.argument("second")
def compare(first, second):
    """Compare the tables of two runs (names below results/); fails where they disagree."""
    from .book.compare import compare as side_by_side

    found = side_by_side(Run(first), Run(second))
    wrong = found[~found.agree]
    if len(wrong):
        click.echo(wrong.drop(columns="agree").to_string(index=False))
    click.echo(f"{len(found) - len(wrong)} of {len(found)} numbers agree")
    if len(wrong):
        raise SystemExit(1)


@cli.command()
@click.option("--folder", default="", help="Where to write; the package's own assets by default.")
@click.option("--data", default="", help="Folder with ham10000/ to train on; else generic skin.")
@click.option("--scale", default=1.0, show_default=True, help="Multiplies every number of steps.")
@click.option("--size", default=64, show_default=True, help="Image side in pixels.")
@click.option("--width", default=32, show_default=True, help="Base channels of the VAE.")
def pretrain(folder, data, scale, size, width):
    """Make the bundled micro models from generic skin (an hour on two cores; resumes)."""
    from pathlib import Path

    from .networks import bundled

    if data and not folder:
        raise UserError(
            "weights trained on photographs do not belong in the package: give --folder"
        )
    where = Path(folder) if folder else bundled.FOLDER
    bundled.pretrain(
        Run("pretrain"), where, data=data, scale=scale, size=size, width=width, say=click.echo
    )


@cli.command()
@click.argument("folder")
@profile_option
@data_option
@click.option("--model", default="8ch+ML", show_default=True, help="baseline, 4ch, 8ch or 8ch+ML.")
@click.option("--classes", default="", help="Class codes with commas between; all by default.")
@click.option("-n", "number", default=8, show_default=True, help="Images of each class.")
@click.option("--guidance", default=0.0, help="Guidance scale; 0: as the profile says.")
@click.option(
    "--references", default="", help="none, train or class-mean; as the model was made for."
)
def sample(folder, profile, data, model, classes, number, guidance, references):
    """Draw samples of a model of a profile into FOLDER, with metadata.csv.

    A model that no run has trained yet is trained first. What was drawn before a stop is kept.
    """
    from . import recipe
    from .project.chapters import data_folder

    cfg = configure(profile, data=data_folder(data, profile))
    recipe.export_samples(
        Run(cfg.run),
        cfg,
        folder,
        model=model,
        classes=classes,
        n=number,
        guidance=guidance or None,
        mode=references or None,
    )
    click.echo(folder)


@cli.command()
@profile_option
@data_option
@click.option(
    "--arm",
    "arms",
    multiple=True,
    help="Of Tables 3 and 4; can be repeated. By default R0, S, M, RS, R1, R3.",
)
@click.option(
    "--seed",
    "seeds",
    multiple=True,
    type=int,
    help="Of the classifier; can be repeated. By default all of the profile.",
)
def classify(profile, data, arms, seeds):
    """Train classifiers ahead of notebook 06: one job for each arm and seed, on one machine or many."""
    from . import recipe
    from .downstream.classify import PAPER_COLUMNS
    from .project.chapters import data_folder

    cfg = configure(profile, data=data_folder(data, profile))
    run = Run(cfg.run)
    for arm in arms or ("R0", "S", "M", "RS", "R1", "R3"):
        for network in cfg.backbones if arm in PAPER_COLUMNS else cfg.backbones[:1]:
            for seed in seeds or range(cfg.classifier_seeds):
                made = recipe.classifier(
                    run, cfg, arm, seed, recipe.synthetic(run, cfg, arm), network
                )
                click.echo(f"{arm} {network} seed {seed}: {made.path}")


@cli.command()
@click.argument("image")
@profile_option
@data_option
@click.option(
    "--alpha",
    "alphas",
    multiple=True,
    type=float,
    help="0 is pseudo-normal skin, 1 the lesion; can be repeated. By default 0, 0.1 ... 1.",
)
@click.option(
    "--mask",
    default="",
    help="Image file, white inside the lesion; by default the segmenter finds it.",
)
@click.option("--out", default="counterfactual", show_default=True, help="Folder for the pictures.")
def counterfactual(image, profile, data, alphas, mask, out):
    """Walk a lesion's IMAGE to pseudo-normal skin (Fig 4). alpha is a direction, not a clinical severity."""
    from . import recipe
    from .interpolation.paths import ALPHAS
    from .project.chapters import data_folder

    cfg = configure(profile, data=data_folder(data, profile))
    for path in recipe.counterfactual_of(
        Run(cfg.run), cfg, image, out, alphas or ALPHAS, mask or None
    ):
        click.echo(path)


@cli.command()
@click.argument("folder")
@profile_option
@data_option
@click.option("--out", default="", help="Also write the tables as CSV files into this folder.")
def evaluate(folder, profile, data, out):
    """Judge a FOLDER of samples: metadata.csv or a subfolder for each class; whose they are does not matter."""
    from pathlib import Path

    from .core.store import write_csv
    from .project import evaluate as judge
    from .project.chapters import data_folder

    cfg = configure(profile, data=data_folder(data, profile))
    for name, table in judge.evaluate(Run(cfg.run), cfg, folder).items():
        click.echo(f"\n{name}\n{table.to_string(index=False, float_format='{:.4g}'.format)}")
        if out:
            Path(out).mkdir(parents=True, exist_ok=True)
            write_csv(Path(out) / f"{name}.csv", table)


@cli.group(invoke_without_command=True)
@click.pass_context
def weights(context):
    """Say which networks of others are here, which are not, and what follows from that."""
    from .networks import weights as known

    if context.invoked_subcommand:
        return
    for network, state in known.table():
        click.echo(
            f"{network.name:46}{state if len(state) < 9 else 'WRONG':8}{network.megabytes:6} MB  {network.use}"
        )
        if state != "here":
            click.echo(
                f"    {'without it ' + network.without if state == 'absent' else state}: {known.remedy(network)}"
            )
    click.echo(f"Fetched and converted files: {known.folder()}")


@weights.command("fetch")
@click.argument("names", nargs=-1)
def fetch_weights(names):
    """Fetch networks by NAME from their official addresses; all that are absent by default."""
    from .networks import weights as known

    for name in names or NETWORKS:
        click.echo(f"{name}: {known.fetch(name)}")


@cli.group()
def data():
    """Fetch, check or draw images."""


@data.command()
@click.argument("folder", default="data")
@click.option("--only", multiple=True, help="Name of a set or file; can be repeated.")
def fetch(folder, only):
    """Download HAM10000 and PAD-UFES-20 from their official addresses into FOLDER."""
    from .data.download import fetch as download

    click.echo(f"{folder}: {len(download(folder, only))} files are there")


@data.command()
@click.argument("folder", default="data", envvar="SKINSYNTH_DATA")
def verify(folder):
    """Count the images of FOLDER and list what is missing, unreadable or double."""
    from .data.verify import verify as check

    report = check(folder)
    click.echo(report.text)
    if not report.ok:
        raise SystemExit(1)


@data.command()
@click.argument("folder")
@profile_option
@click.option("--seed", default=0, show_default=True)
def phantom(folder, profile, seed):
    """Draw the phantom of a profile into FOLDER, in HAM10000's own layout."""
    from .phantom import write_dataset

    cfg = configure(profile, seed=seed)
    counts = {"n_train": cfg.n_train, "n_test_lesions": cfg.n_test, "n_pad": cfg.n_pad}
    write_dataset(folder, seed=seed, progress=True, size=cfg.size, **counts)


def join_processes():
    """Take part in the work of several processes (torchrun), on CPUs too; call it before anything else.

    accelerate decides when it is first asked, and counts processes on CPUs only if told of the CPU.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())


def main(arguments=None):
    """Entry point: returns the exit code."""
    join_processes()
    try:
        cli.main(arguments, prog_name="skinsynth", standalone_mode=False)
    except UserError as error:
        click.echo(f"skinsynth: {error}", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("skinsynth: interrupted; run again to go on", err=True)
        return 130
    except SystemExit as stop:
        return stop.code
    except Exception as error:
        if not disk_full(error):
            raise
        where = getattr(error, "filename", None) or results_root()
        click.echo(f"skinsynth: disk full ({where}); free space and run again", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
