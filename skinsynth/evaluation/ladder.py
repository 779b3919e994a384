"""The ladder from the released code to the recommended method: what each switch is worth."""

import pandas as pd

from ..core import versions
from ..numerics import stats
from . import distances
from .fidelity import named_right


def evaluations(how, steps):
    """How often the network is evaluated for one image; steps: of the solver where a Method names none.

    With nothing to be guided by, once a step; else twice, with the condition and without.
    """
    return (how.steps or steps) * (2 if how.pass_class or how.adapters_on else 1)


def left_out(longest):
    """Rungs of more than `longest` sampling steps, with their number, in words."""
    rungs = versions.ladder()
    return [f"{name} ({how.steps} sampling steps)" for name, how in rungs if how.steps > longest]


def costs(steps):
    """What a sample costs at each rung, before any is made: columns model, evaluations."""
    rows = [
        {"model": name, "evaluations": evaluations(how, steps)} for name, how in versions.ladder()
    ]
    return pd.DataFrame(rows)


def table(compared, rungs, probe, steps, near=None):
    """A row for each rung: distances to original test images, evaluations, label fidelity, copies.

    rungs: {name in versions.ladder(): uint8 samples (M,H,W,3) of compared's plan}; probe: a classifier;
    near: a copies.Checker, without which the column is missing.
    """
    methods, take = dict(versions.ladder()), compared.take
    classes, rows = compared.labels[take], []
    for name, images in rungs.items():
        right = named_right(probe, images[take], classes)
        row = distances.row(name, compared.real, compared.samples(images))
        found = {"label fidelity": stats.share_interval(right, compared.seeds[take])}
        if near:
            found["copies"] = near.search(images[take], classes, compared.seeds[take]).share
        rows.append(row | {"evaluations": evaluations(methods[name], steps)} | stats.columns(found))
    return pd.DataFrame(rows)
