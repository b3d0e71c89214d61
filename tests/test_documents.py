"""What the documents name is there: files, and in these classes, functions and methods."""

import builtins
import importlib
import re
from pathlib import Path

import pytest

import keras_pibnas

ROOT = Path(__file__).parent.parent
NAMED = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")
PAGES = (*NAMED, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
# Names of Keras and arguments of functions, which belong to no file.
FOREIGN = {"fit", "train_step", "plain", "tensorflow", "branches", "keras.Model", "keras.ops", "tf.function"}


def links(text):
    """Paths and addresses that a page links to."""
    return [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page):
    targets = [target for target in links((ROOT / page).read_text()) if target and "://" not in target]
    missing = [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_linked_headings_exist(page):
    """GitHub's names of headings: lower case, no punctuation, a hyphen for each space."""
    for target, heading in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", (ROOT / page).read_text()):
        if "://" not in target:
            text = (ROOT / page).parent.joinpath(target or Path(page).name).read_text()
            titles = re.findall(r"(?m)^#+ (.*)$", text)
            assert heading in {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def module_of(link):
    """The module of a file of the package that a page in docs/ links to."""
    parts = Path(link.removeprefix("../")).with_suffix("").parts
    return importlib.import_module(".".join(part for part in parts if part != "__init__"))


def resolves(name, module):
    for part in name.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True


def named(text):
    """Names in code: `Supernet.train_step`, not `fit(...)` with arguments nor commands."""
    return set(re.findall(r"`([A-Za-z_][\w.]*)`", text)) - FOREIGN - set(dir(builtins))


TOUR = (ROOT / "docs/tour.md").read_text()
SECTIONS = re.split(r"(?m)^## ", TOUR)[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_names_of_the_tour_are_in_the_files_of_their_section(section):
    modules = [module_of(link) for link in links(section) if link.startswith("../keras_pibnas/")]
    lost = [name for name in named(section) if not any(resolves(name, module) for module in modules)]
    assert modules and not lost, lost


def test_the_tour_follows_the_step():
    """Two pages, from the step to the engine and on to TensorFlow's."""
    files = [link for link in links(TOUR) if link.startswith("../keras_pibnas/")]
    order = [files.index(f"../keras_pibnas/{name}.py") for name in
             ("search/supernet", "search/gradients", "search/cell", "search/mixed", "engine/interface",
              "engine/plain", "engine/tensorflow/__init__")]  # fmt: skip
    assert order == sorted(order)
    assert len(TOUR.splitlines()) <= 110


GLOSSARY = (ROOT / "docs/glossary.md").read_text()
WORDS = ("state", "node", "edge", "bundle", "mix", "op weights", "alphas", "architecture", "genotype", "cell",
         "relaxation", "engine", "virtual step")  # fmt: skip


def test_the_glossary_has_the_words_of_the_tour():
    entries = set(re.findall(r"\*\*(.+?)\*\*", GLOSSARY))
    assert set(WORDS) <= entries
    for word in re.findall(r"(?<!\*)\*(\w[\w ]*?)\*(?!\*)", TOUR):
        assert entries & {word, word.rstrip("s"), f"{word}s", "op weights" if word == "mix" else word}, word


@pytest.mark.parametrize("place", re.findall(r"\| `([^`]+)` \|\n", GLOSSARY))
def test_places_of_the_glossary_exist(place):
    """A path of the repository, or a name of the package, whose submodules are imported on the way."""
    found, path = keras_pibnas, "keras_pibnas"
    for part in () if "/" in place else place.split("."):
        path = f"{path}.{part}"
        if not hasattr(found, part):
            importlib.import_module(path)
        found = getattr(found, part)
    assert "/" not in place or (ROOT / place).exists()
