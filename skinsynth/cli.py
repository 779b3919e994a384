"""The command line: thin wrappers; a user's mistake or a full disk is one line, not a traceback.

What needs torch is imported inside the commands, so that the others answer at once.
"""

import functools
import os
import sys
from pathlib import Path

import click

from . import __version__
from .core import machine
from .core.config import PROFILES, configure
from .core.errors import UserError, of_system
from .core.store import Run, results_root, write_csv
from .networks.table import NETWORKS

PROFILE = click.option("--profile", default="micro", show_default=True, help=", ".join(PROFILES))
DATA = click.option(
    "--data", default="", envvar="SKINSYNTH_DATA", help="Folder with ham10000/; else the phantom."
)
PARAMETERS = click.option("-p", "pairs", multiple=True, help="Parameter of notebooks, NAME=VALUE.")
ARMS = ("R0", "S", "M", "RS", "R1", "R3")  # that classify trains by default


def of_run(command):
    """Add --profile, --data and -p to a command, which is given (run, configuration) instead."""

    @functools.wraps(command)
    def called(profile, data, pairs, **given):
        from .project import chapters

        names = chapters.present()
        cfg, _ = chapters.configured(profile, data, chapters.parse(pairs, names), names)
        return command(Run(cfg.run), cfg, **given)

    return PROFILE(DATA(PARAMETERS(called)))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli():
    """Run the notebooks, build the book, look after the data."""


@cli.command()
@PROFILE
@DATA
@click.option("--only", multiple=True, help="Notebook by number, such as 04; can be repeated.")
@PARAMETERS
@click.option("--force", is_flag=True, help="Execute even what has not changed.")
def run(profile, data, only, pairs, force):
    """Execute the notebooks that changed."""
    from .project import chapters
    from .project.run import run_notebooks

    def ahead(*given):
        from .book.plan import announced  # here, because it imports every network

        return announced(*given)

    given = chapters.parse(pairs, chapters.present())
    done = run_notebooks(profile, data, only, given, force, say=click.echo, ahead=ahead)
    click.echo(f"{len(done)} notebooks executed: {', '.join(done)}" if done else "nothing changed")


@cli.command()
@of_run
@click.option(
    "--card", "cards", multiple=True, help="Also on: RTX 4090, A100 80GB, H100 80GB, all."
)
def plan(run, cfg, cards):
    """Say what a run will cost on this machine: every stage, its time, memory and disk."""
    from .book import cost, plan
    from .core.config import choose

    for card in cards:
        choose(card, [*cost.CARDS, "all"], "card")
    for line in plan.told(run, cfg, cost.CARDS if "all" in cards else cards):
        click.echo(line)


@cli.command()
@click.option("--run", "name", default="", help="Name of the run; by default the last executed.")
@click.option("--pdf", is_flag=True, help="Also print the whole book as one PDF (needs Chromium).")
def book(name, pdf):
    """Build the site from a run's executed notebooks, strictly, and check it."""
    from .book.site import build

    if problems := build(name, pdf=pdf, say=click.echo):
        click.echo("\n".join(problems), err=True)
    return bool(problems)


@cli.command()
@of_run
def publish(run, cfg):
    """Put a finished run into book/reference, without photographs, as the second part of the book."""
    from .book import reference

    folder, withheld = reference.publish(run, cfg)
    why = "tiles show a photograph, or something too like one, and are left out"
    click.echo(f"{folder}: {withheld} {why}")


@cli.command()
@of_run
def status(run, cfg):
    """Say what this machine computes with, and of each notebook whether its results are current."""
    from .project import state

    entries = state.manifest(run)["notebooks"]
    click.echo(f"this machine: {machine.sentence()}")
    for name, how in state.status(run, cfg.data).items():
        seconds, commit = (entries.get(name, {}).get(k) for k in ("seconds", "commit"))
        click.echo(f"{name:18}{how:10}{seconds or 0:8.0f} s  {(commit or '')[:12]}")


@cli.command()
@of_run
def claims(run, cfg):
    """Print the ledger, what the paper claims and what the run found; as data in the run's claims.json."""
    from .project.ledger import evaluate

    if not [*run.root.glob("manifest.json"), *run.root.glob("evidence/*.json")]:
        order = f"skinsynth run --profile {cfg.profile}{' --data ' * bool(cfg.data)}{cfg.data}"
        raise UserError(f"{run.root}: no notebook of this run was executed; `{order}` makes it")
    for row in evaluate(run):
        click.echo(f"{row['verdict']:24}{row['id']:27}{row['statement']}")


@cli.command()
@click.argument("first")
@click.argument("second")
def compare(first, second):
    """Compare the tables of two runs (names below results/); fails where they disagree."""
    from .book.compare import compare as side_by_side

    found = side_by_side(Run(first), Run(second))
    wrong = found[~found.agree]
    click.echo(f"{len(found) - len(wrong)} of {len(found)} numbers agree")
    if len(wrong):
        click.echo(wrong.drop(columns="agree").to_string(index=False))
    return len(wrong) > 0


@cli.command()
@click.option("--folder", default="", help="Where to write; the package's own assets by default.")
@click.option("--data", default="", help="Folder with ham10000/ to train on; else generic skin.")
@click.option("--scale", default=1.0, show_default=True, help="Multiplies images and steps.")
@click.option("--size", default=64, show_default=True, help="Image side in pixels.")
@click.option("--width", default=32, show_default=True, help="Base channels of the VAE.")
def pretrain(folder, data, **sizes):
    """Make the bundled models: of generic skin, then `micro`'s generators (hours on two cores; resumes)."""
    from . import recipe
    from .networks.bundled import FOLDER
    from .pretrain import micro

    if data and not folder:
        raise UserError("weights made of photographs do not belong in the package: give --folder")
    made = micro.pretrain(Run("pretrain"), Path(folder or FOLDER), data=data, **sizes)
    click.echo(made if folder else f"{made}; {recipe.train_shipped(Run('pretrain'))}")


@cli.command()
@click.argument("folder")
@of_run
@click.option("--model", default="8ch+ML", show_default=True, help="baseline, 4ch, 8ch or 8ch+ML.")
@click.option("--classes", default="", help="Class codes with commas between; all by default.")
@click.option("-n", type=click.IntRange(1), default=8, show_default=True, help="Images a class.")
@click.option("--guidance", type=float, help="Guidance scale; by default as the profile says.")
@click.option("--references", "mode", help="none, train or class-mean; train for 8ch+ML.")
def sample(run, cfg, folder, **choices):
    """Draw samples of a model of a profile into FOLDER, with metadata.csv.

    A model that no run has trained yet is trained first. What was drawn before a stop is kept.
    """
    from . import recipe

    recipe.export_samples(run, cfg, folder, **choices)
    click.echo(folder)


@cli.command()
@of_run
@click.option("--arm", "arms", multiple=True, default=ARMS, help="Of chapter 6; can be repeated.")
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), help="All by default.")
def classify(run, cfg, arms, seeds):
    """Train classifiers ahead of notebook 06: one job for each arm and seed, on one machine or many.

    By default the arms R0, S, M, RS, R1 and R3.
    """
    from . import recipe
    from .downstream.classify import PAPER_COLUMNS

    for arm in arms:
        samples = recipe.synthetic(run, cfg, arm)
        for network in cfg.backbones if arm in PAPER_COLUMNS else cfg.backbones[:1]:
            for seed in seeds or range(cfg.classifier_seeds):
                made = recipe.classifier(run, cfg, arm, seed, samples, network)
                click.echo(f"{arm} {network} seed {seed}: {made.path}")


@cli.command()
@click.argument("image")
@of_run
@click.option("--alpha", multiple=True, type=float, help="From 0, pseudo-normal skin, to 1.")
@click.option("--mask", help="Image, white inside the lesion; by default the segmenter finds it.")
@click.option("--out", default="counterfactual", show_default=True, help="Folder for the pictures.")
def counterfactual(run, cfg, image, alpha, mask, out):
    """Walk a lesion's IMAGE to pseudo-normal skin (Fig 4). alpha is a direction, not a clinical severity.

    --alpha can be repeated; by default it is 0, 0.1 ... 1.
    """
    from . import recipe
    from .interpolation.paths import ALPHAS

    for path in recipe.counterfactual_of(run, cfg, image, out, alpha or ALPHAS, mask):
        click.echo(path)


@cli.command()
@click.argument("folder")
@of_run
@click.option("--out", help="Also write the tables as CSV files into this folder.")
def evaluate(run, cfg, folder, out):
    """Judge anybody's FOLDER of samples, by metadata.csv or folders of classes; says first what was read."""
    from .project import evaluate as judge

    for name, table in judge.evaluate(run, cfg, folder, click.echo).items():
        click.echo(f"\n{name}\n{table.to_string(index=False, float_format='{:.4g}'.format)}")
        if out:
            write_csv(Path(out) / f"{name}.csv", table)


@cli.group(invoke_without_command=True)
@click.pass_context
def weights(context):
    """Say which networks of others are here, which are not, and what follows from that."""
    from .networks import weights as known

    if context.invoked_subcommand:
        return
    for network, state in known.table():
        said = state if state in ("here", "absent") else "WRONG"
        click.echo(f"{network.name:46}{said:8}{network.megabytes:6} MB  {network.use}")
        if state != "here":
            follows = f"without it {network.without}" if state == "absent" else state
            click.echo(f"    {follows}: {known.remedy(network)}")
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
@click.option(
    "--from", "place", default="", help="Folder of archives you have, or a mirror's address."
)
def fetch(folder, only, place):
    """Get HAM10000 and PAD-UFES-20 into FOLDER, from their official addresses or from where you say.

    Each is checked by its published hash as it comes. ISIC 2018's test set has none: --only isic2018_test.
    """
    from .data.download import fetch as download

    click.echo(f"{folder}: {len(download(folder, only, place))} files are there")


@data.command()
@click.argument("folder", default="data", envvar="SKINSYNTH_DATA")
def verify(folder):
    """Count the images of FOLDER and list what is missing, unreadable or double."""
    from .data.verify import verify as check

    found = check(folder)
    click.echo(found)
    return not found.ok


@data.command()
@click.argument("folder")
@PROFILE
@click.option("--seed", default=0, show_default=True)
def phantom(folder, profile, seed):
    """Draw the phantom of a profile into FOLDER, in HAM10000's own layout: as a run at this seed draws it."""
    from .data import sets

    cfg, draw = configure(profile, seed=seed), sets.phantom.write_dataset
    counts = {"n_train": cfg.n_train, "n_test_lesions": cfg.n_test, "n_pad": cfg.n_pad}
    draw(folder, seed=sets.PHANTOM_SEED + seed, progress=True, size=cfg.size, **counts)


def join_processes():
    """Take part in the work of several processes (torchrun), on CPUs too; call it before anything else.

    accelerate decides when it is first asked, and counts processes on CPUs only if told of the CPU.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())


def main(arguments=None):
    """Entry point: returns the exit code; a command that finds something wrong returns True."""
    machine.stop_softly()
    join_processes()
    try:
        return int(cli.main(arguments, prog_name="skinsynth", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:  # click.Abort, too, and what libraries make of it
        said, code = of_system(error, results_root()), 1
        if machine.INTERRUPTED.is_set() or isinstance(error, click.Abort):
            said, code = "interrupted; run again to go on", 130
        if said is None:
            raise
    click.echo(f"skinsynth: {said}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
