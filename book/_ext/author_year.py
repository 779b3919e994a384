"""A style of the bibliography whose labels are authors and year, as in the text: [Ho et al., 2020]."""

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle


def label(entry):
    """Label of an entry that has authors and a year: one name, two, or the first and "et al."."""
    people = [p.rich_prelast_names + p.rich_last_names for p in entry.persons["author"]]  # no LaTeX
    names = [" ".join(map(str, parts)) for parts in people]
    said = names[0] if len(names) == 1 else " and ".join(names)
    if len(names) > 2 or "others" in names:
        said = f"{names[0]} et al."
    return f"{said}, {entry.fields['year']}"


class AuthorYearLabels(BaseLabelStyle):
    """What pybtex asks for labels. No two entries may have the same: a reader could not tell them apart."""

    def format_labels(self, sorted_entries):
        labels = [label(entry) for entry in sorted_entries]
        if twice := {x for x in labels if labels.count(x) > 1}:
            raise ValueError(
                f"references.bib: {', '.join(sorted(twice))}: label of more than one entry"
            )
        return labels


class AuthorYear(Style):
    """Entries in the order of their authors."""

    default_label_style = AuthorYearLabels
    default_sorting_style = "author_year_title"


def setup(app):
    register_plugin("pybtex.style.formatting", "author_year", AuthorYear)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
