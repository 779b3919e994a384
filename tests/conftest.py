"""Fixtures that several test files share."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DEFAULTS = 'profile = "micro"\ndata = ""\nseed = 0\nextras = False\nvae_steps = 0\nguidance = 0.0'
BODY = {
    "01_data": "from pathlib import Path\nprint('cells may print', s.cfg.vae_steps)",
    "02_vae": (
        "import pandas as pd\nfrom matplotlib import pyplot as plt\n"
        "fig, ax = plt.subplots(figsize=(3, 2))\nax.plot([0, 1], [1, 0])\n"
        "s.figure('fig05', fig, data=pd.DataFrame({'x': [0, 1], 'y': [1, 0]}))"
    ),
    "04_synthesis": "print(s.cfg.vae_steps, s.cfg.guidance)",
}


def write_notebook(root, name, body, parameters=DEFAULTS, prose="Some prose."):
    """A source notebook with the cells that every notebook has."""
    start = f'from skinsynth.session import start\ns = start("{name}", globals())'
    figure = {"figure": {"name": "fig5", "caption": "**Figure 5.** A line."}, "image": {"alt": "A line"}}
    cells = [
        new_markdown_cell(f"# {name}\n\n{prose}"),
        new_code_cell(parameters, metadata={"tags": ["parameters", "hide-input"]}),
        new_code_cell(start),
        new_code_cell(body, metadata={"mystnb": figure} if "s.figure" in body else {}),
        new_code_cell("s.footer()"),
    ]
    for i, cell in enumerate(cells):
        cell.id = f"cell{i}"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=kernel), root / "notebooks" / f"{name}.ipynb")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with three small notebooks, and its own results folder."""
    monkeypatch.setenv("SKINSYNTH_ROOT", str(tmp_path))
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    for variable in ("SKINSYNTH_DATA", "SKINSYNTH_RUN", "SKINSYNTH_QUIET"):
        monkeypatch.delenv(variable, raising=False)
    for name, body in BODY.items():
        write_notebook(tmp_path, name, body)
    return tmp_path
