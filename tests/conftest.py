"""Fixtures that several test files share."""

import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parent.parent
DEFAULTS = 'profile = "micro"\ndata = ""\nseed = 0\nextras = False\n'
OWN = {"02_vae": "vae_steps = 0\n", "04_generation": "guidance = 0.0\n"}

# workers share the processors: threads of two of them would wait for each other
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def write_notebook(root, name, *bodies, prose="Some prose.", folder="notebooks"):
    """A small source notebook: heading, parameters, and the given code cells."""
    cells = [
        new_markdown_cell(f"# {name}\n\n{prose}"),
        new_code_cell(DEFAULTS + OWN.get(name, ""), metadata={"tags": ["parameters"]}),
        *(body if not isinstance(body, str) else new_code_cell(body) for body in bodies),
    ]
    for i, cell in enumerate(cells):
        cell.id = f"cell{i}"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = root / folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    book = new_notebook(cells=cells, metadata=kernel)
    nbformat.write(book, path)
    return book


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with three small notebooks and its own results folder."""
    monkeypatch.setenv("SKINSYNTH_ROOT", str(tmp_path))
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for kernels, where the package is not installed
    for variable in ("SKINSYNTH_DATA", "SKINSYNTH_RUN", "SKINSYNTH_QUIET"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("01_data", "02_vae", "04_generation"):
        write_notebook(tmp_path, name, "print(profile)")
    return tmp_path


@pytest.fixture
def two_lanes():
    """Two threads train side by side, however many processors there are: a batch's parts decide what is drawn."""
    import torch

    from skinsynth.core import machine

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    machine.lanes.cache_clear()
    yield
    torch.set_num_threads(before)
    machine.lanes.cache_clear()


def pytest_collection_modifyitems(items):
    """The smoke book takes longest: where several processes share the tests, it has to begin first."""
    items.sort(key=lambda item: item.path.name != "test_smoke.py")
