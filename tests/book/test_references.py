"""References: labels that a reader knows, and an entry for each work that the text names."""

import importlib.util
import re

import pytest
from conftest import ROOT
from pybtex.database import Entry, Person, parse_file

FILE = ROOT / "book" / "_ext" / "author_year.py"
SPEC = importlib.util.spec_from_file_location("author_year", FILE)
author_year = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(author_year)


def entry(*authors, year="2020"):
    return Entry("misc", {"year": year}, {"author": [Person(name) for name in authors]})


@pytest.mark.parametrize(
    ("authors", "label"),
    [
        (("Telea, Alexandru",), "Telea, 2020"),
        (("Ho, Jonathan", "Salimans, Tim"), "Ho and Salimans, 2020"),
        (("Ho, Jonathan", "Jain, Ajay", "Abbeel, Pieter"), "Ho et al., 2020"),
        (("Kim, M.", "others"), "Kim et al., 2020"),
        (("van der Berg, A.",), "van der Berg, 2020"),
        ((r"Bi{\'n}kowski, M.", "others"), "Bińkowski et al., 2020"),
    ],
)
def test_a_label_is_authors_and_year(authors, label):
    assert author_year.label(entry(*authors)) == label


def test_two_entries_of_one_label_are_refused():
    same = [entry("Ho, Jonathan"), entry("Ho, Other")]
    with pytest.raises(ValueError, match="Ho, 2020: label of more than one entry"):
        author_year.AuthorYearLabels().format_labels(same)


def test_every_work_that_the_text_names_has_an_entry():
    known = parse_file(ROOT / "book" / "references.bib").entries.values()
    labels = set(author_year.AuthorYearLabels().format_labels(list(known)))
    pages = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("book/*.md"), ROOT / "book/claims.yml"]
    named = {m for path in pages for m in re.findall(r"(\w+ et al\.),? (\d{4})", path.read_text())}
    assert len(named) >= 6
    assert {f"{who}, {year}" for who, year in named} <= labels
