"""Draw 64 samples of each class of the micro run and write the seconds it took: python bench/draw.py FIRST_SEED FOLDER

Under `torchrun` the processes share the work.
"""

import shutil
import sys
from pathlib import Path

from accelerate import PartialState

from skinsynth import cli, recipe
from skinsynth.core import store
from skinsynth.core.config import configure

cli.join_processes()
first, folder = int(sys.argv[1]), Path(sys.argv[2])
cfg = configure("micro")
run = store.Run(cfg.run)
shutil.rmtree(
    recipe.samples(run, cfg, "8ch+ML", n=2, first=first + 500).path, ignore_errors=True
)  # warms up
made = recipe.samples(run, cfg, "8ch+ML", n=64, first=first)
(folder / "seconds").write_text(str(store.read_json(made / "stage.json")["seconds"]))
PartialState().wait_for_everyone()
shutil.rmtree(made.path, ignore_errors=True)  # or the next benchmark would find it finished
