"""What a chapter's page has beyond its notebook: under the title its run, the way to the same chapter of
another run and the findings; in the alt text of a paper's figure what this run found.
"""

import os

import nbformat

from ..core import store
from ..project import chapters
from ..project.words import finding
from .pages import images_of


def pages_of(shown):
    """The executed chapters of a run in the book, {name: path}."""
    folder = chapters.project_root() / "book" / "executed"
    names = [path.stem for path in shown.run.notebooks] if shown.published else chapters.NOTEBOOKS
    paths = [folder / (shown.name if shown.published else "") / f"{name}.ipynb" for name in names]
    return {path.stem: path for path in paths if path.exists()}


def switch(name, path, runs):
    """Links to the same chapter of other runs; runs: all that are shown, with the one of this page."""
    for other in runs:
        page = pages_of(other).get(name)
        if page != path:
            link = page and f"[the same chapter]({os.path.relpath(page, path.parent)})"
            yield f"On {images_of(other.manifest)}, run {other.name}: {link or 'no such chapter'}."


def take_findings(page):
    """Take what `session.findings` displayed out of a page's outputs; returns it, "" where there is none."""
    found = ""
    for cell in page.cells:
        for output in [*cell.get("outputs", ())]:
            if "findings" in output.get("metadata", {}).get("skinsynth", {}):
                found = output.data["text/markdown"]
                cell.outputs.remove(output)
    return found


def capital(text):
    return text[0].upper() + text[1:]


def say_in_alt(page, shown):
    """Let the alt text of each figure say the run, and of a figure of the paper what the run found on it."""
    for cell in page.cells:
        look = cell.metadata.get("mystnb", {})
        if "figure" not in look or "image" not in look:
            continue
        item = look["figure"]["name"].removeprefix(f"{shown.name}-")
        rows = [row for row in shown.rows if row["item"] == item and row["value"] is not None]
        found = "".join(
            f" {capital(r['quantity'])}: {finding(r)[0]}, {r['verdict']}." for r in rows
        )
        look["image"]["alt"] = f"{look['image']['alt'].rstrip('. ')}. {shown.head}.{found}"


def dress(runs):
    """Give the executed chapters in book/executed their heads and alt texts; runs: pages.Shown of all."""
    for shown in runs:
        for name, path in pages_of(shown).items():
            page = nbformat.read(path, 4)
            first = page.cells[0]
            title, _, rest = first.source.partition("\n")
            about = f"Run {shown.name}: {images_of(shown.manifest)}, {shown.networks}."
            ways = " ".join([about, *switch(name, path, runs)])
            head = f"::::{{div}} this-run\n{ways}\n::::"
            parts = [part.strip() for part in (title, head, take_findings(page), rest)]
            first.source = "\n\n".join(filter(None, parts))
            say_in_alt(page, shown)
            with store.atomic(path) as part:
                nbformat.write(page, part)
