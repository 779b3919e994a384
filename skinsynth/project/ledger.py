"""The ledger: what the paper claims, and what runs measured of it."""

import math
from dataclasses import asdict

import yaml

from ..core.errors import UserError
from ..core.store import ROOT, read_json, write_json
from ..numerics.stats import Estimate
from .verdicts import DECIDED, NUMBERS, OURS, UNTESTABLE, verdict

FILE = ROOT / "book" / "claims.yml"
SOURCE = "Kim et al. 2025"
MODELS = ("autoencoders", "generators", "classifiers")
DIRECTIONS = ("greater", "less", "equivalent", "none")
NEEDED = {"statement", "item", "source", "test", "quantity", "direction"}
KNOWN = NEEDED | {"margin", "parts", "paper", "chapter", "property"}
KNOWN |= {"kind", "named", "trained", "answer", "short", "number", "caveat"}
FILLED = dict(margin=0, property="", kind="paper", named="", trained="", answer="", short="")
FILLED |= dict(number="difference", caveat="")


def load(path=FILE):
    """Claims by id, in the order of the file, with all fields filled in.

    Raises UserError that names the claim if a field is unknown or missing, a direction is none of the
    four, what was trained is none of MODELS, or a question of ours does not say when it was named.
    """
    claims = yaml.safe_load(path.read_text())
    for name, claim in claims.items():
        if not NEEDED <= set(claim) <= KNOWN or claim["direction"] not in DIRECTIONS:
            fields = f"{', '.join(sorted(NEEDED))}; optional: {', '.join(sorted(KNOWN - NEEDED))}"
            raise UserError(f"{path}: {name}: fields should be {fields}; see the head of the file")
        if not set(models_of(claim)) <= set(MODELS):
            raise UserError(f"{path}: {name}: trained should be some of {', '.join(MODELS)}")
        if ("named" in claim) != (claim.get("kind") == OURS):
            raise UserError(f"{path}: {name}: `named` belongs to a claim of `kind: {OURS}`, always")
        claim["n_parts"] = claim.pop("parts", 1)
        claim["paper_value"] = claim.pop("paper", "not available")
        claim.setdefault("short", name.partition("-")[2].replace("-", " ") or name)
        if claim.get("kind") != OURS:
            claim["source"] = f"{claim['source']}, {SOURCE}"
    return {name: FILLED | claim for name, claim in claims.items()}


def models_of(claim):
    """What has to be trained to get a claim's numbers: some of MODELS."""
    return [name for name in claim.get("trained", "").split(", ") if name]


def record(
    run,
    claim_id,
    parts,
    profile,
    note="",
    sight=None,
    margin=None,
    seeds=None,
    room=None,
    again=(),
    course=(),
):
    """Write the evidence for a claim: one Estimate, or a list with one for each part.

    parts: differences with the sign that `quantity` in claims.yml says, labelled where there are several;
    an empty list says that it could not be measured, `note` why. profile: "smoke" never leads to a verdict.
    sight: (whether the measure sees the claim's property in this run, how large a fault), of `judges.sees`.
    margin: where the run derives it, instead of the one in claims.yml; seeds: training runs of each model of the
    first kind that the claim names as trained, where the intervals do not say it ("t over 3 seeds"); room: how far
    the number can move to the claimed side at all, such as the share that can be lost; again: the parts of each further
    training; course: [(images seen, parts)] of the models on the way, on validation images.
    Raises UserError on an unknown id, more parts than the claim has, or two of one label.
    """
    claims, parts = load(), [parts] if isinstance(parts, Estimate) else list(parts)
    if claim_id not in claims:
        raise UserError(f"unknown claim {claim_id!r}; known: {', '.join(claims)}")
    if len(parts) > (most := claims[claim_id]["n_parts"]):
        raise UserError(f"claim {claim_id} has {most} parts, got {len(parts)}")
    if len({p.label for p in parts}) < len(parts):
        raise UserError(f"claim {claim_id}: give each part a label of its own")
    evidence = dict(id=claim_id, parts=_plain(parts), note=note, profile=profile, sight=sight)
    evidence |= dict(course=[(seen, _plain(then)) for seen, then in course])
    evidence |= dict(again=[_plain(other) for other in again])
    seeds = 1 + len(again) if again else seeds
    given = dict(margin=margin, room=room)
    evidence |= {k: None if x is None else float(x) for k, x in given.items()} | dict(seeds=seeds)
    write_json(run.root / "evidence" / f"{claim_id}.json", evidence)


def _plain(parts):
    """Estimates as JSON holds them, which has no nan."""
    rows = [asdict(p) for p in parts]
    for row in rows:
        known = {k: row[k] for k in (*NUMBERS, "df") if row[k] is not None}
        row.update({k: float(x) if math.isfinite(x) else None for k, x in known.items()})
    return rows


def evaluate(run):
    """Judge every claim on a run's evidence; returns a list of dicts, also in claims.json."""
    rows = []
    for name, claim in load().items():
        path = run.root / "evidence" / f"{name}.json"
        evidence = read_json(path) if path.exists() else None
        rows.append(dict(id=name) | claim | verdict(claim, evidence))
    write_json(run.root / "claims.json", rows)
    return rows


def recorded(path):
    """The evaluated claims of a published run; a verdict on another quantity than the claim's of now is taken back."""
    rows, claims = read_json(path), load()
    for row in rows:
        now = claims.get(row["id"], row)["quantity"]
        if row["verdict"] in DECIDED and now != row["quantity"]:
            why = f"This run is older and measured another quantity: {row['quantity']}."
            row |= dict(verdict=UNTESTABLE, why=why)
    return rows
