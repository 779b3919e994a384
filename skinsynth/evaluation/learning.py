"""How trainings went: their logs as curves, and where they ended."""

import pandas as pd


def ending(log):
    """How a training ended: (share by which the validation error fell within the last fifth of the steps,
    step of its lowest value). log: columns step and validation, nan where it was not measured."""
    checked = log.dropna(subset="validation")
    start = max(0.8 * checked.step.max(), checked.step.min())
    before = checked.validation[checked.step <= start].iloc[-1]
    return 1 - checked.validation.iloc[-1] / before, checked.step[checked.validation.idxmin()]


def curves(logs):
    """One row for each validation of each training: columns model, step, training, validation.

    logs: {model: log.csv of its stage}. training: mean of the losses logged since the validation before.
    """
    found = []
    for name, log in logs.items():
        checked, batches = log.dropna(subset="validation"), log.dropna(subset="loss")
        spans = pd.cut(batches.step, [0, *checked.step])
        own = checked[["step", "validation"]].assign(model=name)
        own["training"] = batches.loss.groupby(spans, observed=False).mean().to_numpy()
        found.append(own)
    return pd.concat(found)[["model", "step", "training", "validation"]]


def ends(logs):
    """One row a training: validation loss at its first check, at its lowest and at its end, the step of the
    lowest, and the share by which it fell within the last fifth of the steps. logs: as for `curves`."""
    rows = []
    for name, log in logs.items():
        checked, (fell, at) = log.validation.dropna(), ending(log)
        known = dict(first=checked.iloc[0], lowest=checked.min(), at=int(at))
        known |= dict(last=checked.iloc[-1], fell=fell)
        rows.append({"model": name, "steps": int(log.step.max())} | known)
    return pd.DataFrame(rows)


def later(course, measure):
    """How a measure went in the second half of a training: (images seen at half, at the end, {model: (its
    value then, now, whether it moved by more than its interval reaches)}). course: measures.csv of `follow`."""
    seen = sorted(course.images.unique())
    half = min(seen, key=lambda n: abs(n - seen[-1] / 2))
    then, now = (course[course.images == n].set_index("model") for n in (half, seen[-1]))
    reach = (now[f"{measure} high"] - now[f"{measure} low"]) / 2
    moved = (now[measure] - then[measure]).abs() > reach
    return (
        half,
        seen[-1],
        {m: (then[measure][m], now[measure][m], bool(moved[m])) for m in now.index},
    )
