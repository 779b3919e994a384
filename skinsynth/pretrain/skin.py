"""What the micro models learn from: generic procedural skin, or a user's photographs in its form."""

import numpy as np
from joblib import Parallel, delayed

from .. import phantom
from ..core.errors import UserError
from ..core.store import stage, write_json
from ..numerics.arrays import Rows, load_array, map_array, records_of, save_array


def _write_attributes(out, vocabulary, rows, captions):
    facts = dict(vocabulary=vocabulary, rows=rows, captions=captions)
    write_json(out / "attributes.json", facts)


@stage("generic")
def generic_skin(out, *, n, size, seed):
    """Generic procedural skin: images, masks, attributes, captions; no diagnoses."""
    jobs = (delayed(phantom.generic)(seed, i, size) for i in range(n))
    images, masks, rows = zip(*Parallel(-1 if n > 500 else 1)(jobs), strict=True)
    save_array(out / "images.npy", np.stack(images))
    save_array(out / "masks.npy", np.stack(masks))
    vocabulary = {k: list(v) for k, v in phantom.ATTRIBUTES.items()}
    _write_attributes(out, vocabulary, rows, [phantom.caption(a) for a in rows])


@stage("described")
def described_photographs(out, *, images, records):
    """The train split in the form of `generic_skin`: its attributes are diagnosis and site.

    Raises UserError where the set has no lesion masks.
    """
    table = records_of(records)
    rows = np.flatnonzero(table.split == "train")
    if not (records / "masks.npy").exists():
        remedy = "add HAM10000_segmentations_lesion_tschandl to ham10000/"
        raise UserError(f"no lesion masks found: {remedy}")
    for kind, source in (("images", images), ("masks", records)):
        kept = Rows((load_array(source / f"{kind}.npy"), rows))
        map_array(out / f"{kind}.npy", np.asarray, kept)
    facts = table.iloc[rows][["dx", "localization"]].fillna("unknown").to_dict("records")
    vocabulary = {k: sorted({row[k] for row in facts}) for k in ("dx", "localization")}
    captions = [f"{row['dx']} on the {row['localization']}" for row in facts]
    _write_attributes(out, vocabulary, facts, captions)
