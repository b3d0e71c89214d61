"""Genotypes: what a search finds, and the published ones.

A cell has two input states, 0 and 1 (the outputs of the two cells before it); its nodes are states 2, 3, ...
A node adds two operations, each on an earlier state, so a genotype lists two (op name, source state) pairs a
node. The cell's output concatenates some of its states. Reference: DARTS (arXiv:1806.09055), section 2.

Op names are kept as they were printed; `keras_pibnas.spaces` knows the aliases.
"""

import ast
import json
import operator
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from random import Random

# Op names that `parse`, `from_json` and `load` accept besides those of published genotypes; filled by
# `keras_pibnas.spaces`. Empty: all names.
OPS = set()
# As `OPS`: regular expressions, for names that hold a number of one's choice.
OP_PATTERNS = []

_CELLS = ("normal", "reduce")
_KEYS = ("normal", "normal_concat", "reduce", "reduce_concat", "meanings")
_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": "'", "”": "'", "´": "'", "`": "'", '"': "'",
                           "\u00a0": " ", "\u200b": None, "\\": None})


@dataclass(frozen=True)
class Genotype:
    """The two cells of an architecture.

    Args:
        normal, reduce: tuples (or lists) of (op name, source state) pairs, two a node. Node i is state i + 2
            and may read states 0 to i + 1. Both cells have the same number of nodes.
        normal_concat, reduce_concat: the states that the cell's output concatenates. In a reduction cell the
            inputs have twice the side of the nodes, so `reduce_concat` holds nodes only.
        meanings: (printed name, op name) pairs of a genotype whose printed names mean something else here;
            see `resolved`. Not compared.

    Raises:
        ValueError: names the cell, the index and the pair that is wrong, and why.
    """

    normal: tuple
    reduce: tuple
    normal_concat: tuple = (2, 3, 4, 5)
    reduce_concat: tuple = (2, 3, 4, 5)
    meanings: tuple = field(default=(), compare=False)

    def __post_init__(self):
        for cell in _CELLS:
            object.__setattr__(self, cell, _checked_pairs(cell, getattr(self, cell)))
        if len(self.normal) != len(self.reduce):
            raise ValueError("Both cells need the same number of nodes. "
                             f"Received: normal with {self.nodes}, reduce with {len(self.reduce) // 2}")
        for name, first in (("normal_concat", 0), ("reduce_concat", 2)):
            object.__setattr__(self, name, _checked_concat(name, getattr(self, name), first, self.nodes))
        object.__setattr__(self, "meanings", _checked_meanings(self.meanings))

    @property
    def nodes(self):
        """Number of nodes in a cell, the two input states not counted."""
        return len(self.normal) // 2

    def resolved(self):
        """The same genotype with every printed name replaced by what it stands for (see `meanings`)."""
        meaning = dict(self.meanings)
        normal, reduce = (tuple((meaning.get(op, op), source) for op, source in pairs)
                          for pairs in (self.normal, self.reduce))
        return replace(self, normal=normal, reduce=reduce, meanings=())

    def to_json(self):
        """JSON text: {"normal": [[op, source], ...], "normal_concat": [...], "reduce": ..., ...}."""
        return json.dumps({key: getattr(self, key) for key in _KEYS if key != "meanings" or self.meanings})

    @classmethod
    def from_json(cls, text):
        """Reads what `to_json` wrote; a missing concat means all nodes, an entry "source" is read over.

        Raises:
            ValueError: not JSON, no genotype, a wrong pair, or an op name that is not in `OPS`.
        """
        try:
            data = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"The genotype's JSON is not readable: {error}. "
                             f"Received: {_excerpt(text)}") from None
        if not isinstance(data, dict):
            raise ValueError("A genotype in JSON is an object with normal and reduce. "
                             f"Received: {_excerpt(text)}")
        return _from_parts({key: value for key, value in data.items() if key != "source"}, text)

    def save(self, path):
        """Writes the JSON to `path`, whole or not at all."""
        temporary = Path(f"{path}.tmp")
        temporary.write_text(self.to_json() + "\n", encoding="utf-8")
        os.replace(temporary, path)

    @classmethod
    def load(cls, path):
        """Reads a file that holds JSON or printed text (see `parse`).

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no genotype; the message names the file.
        """
        try:
            return cls.parse(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def parse(cls, text):
        """Reads a genotype as it stands in papers and READMEs, or JSON.

        "Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=range(2, 6), reduce=[...], ...)", with any
        text around it, with straight or curly quotes; a missing concat means all nodes. Nothing is evaluated.

        Raises:
            ValueError: no genotype or several, a wrong pair, or an op name that is not in `OPS`.
        """
        if isinstance(text, str) and text.strip(" \t\r\n\"'`").startswith("{"):
            return cls.from_json(text.strip(" \t\r\n\"'`"))
        return _from_parts(_parts(_call(text)), text)


def names():
    """Names of the published genotypes."""
    return tuple(_PUBLISHED)


def get(name):
    """The published genotype of that name.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    if name in _PUBLISHED:
        return _PUBLISHED[name]
    close = get_close_matches(str(name).upper(), _PUBLISHED, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise ValueError(f"Unknown genotype {name!r}. {hint}Known: {', '.join(_PUBLISHED)}")


def random(ops, nodes=4, seed=0):
    """A uniformly random genotype, for baselines.

    Args:
        ops: list of op names to draw from; "none" is never drawn.
        nodes: nodes in a cell; each reads two distinct states.
        seed: the same seed gives the same genotype.
    """
    ops = [op for op in ops if op != "none"]
    if not ops or nodes < 1:
        raise ValueError("A random genotype needs an op other than none and at least one node. "
                         f"Received: ops={ops}, nodes={nodes}")
    generator = Random(seed)
    normal, reduce = ([(generator.choice(ops), source) for node in range(nodes)
                       for source in generator.sample(range(node + 2), 2)] for _ in _CELLS)
    return Genotype(normal, reduce, range(2, nodes + 2), range(2, nodes + 2))


def _checked_pairs(cell, pairs):
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise ValueError(f"{cell} should be a list of (op, source) pairs. Received: {pairs!r}")
    pairs = tuple(_checked_pair(f"{cell}[{index}]", index // 2, pair) for index, pair in enumerate(pairs))
    if not pairs:
        raise ValueError(f"{cell} needs at least one node, two (op, source) pairs. Received: ()")
    if len(pairs) % 2:
        raise ValueError(f"{cell} has an odd number of pairs, {len(pairs)}, but a node takes two: "
                         f"{cell}[{len(pairs) - 1}] = {pairs[-1]} has no partner")
    return pairs


def _checked_pair(where, node, pair):
    if isinstance(pair, str) or not isinstance(pair, Iterable) or len(pair := tuple(pair)) != 2:
        raise ValueError(f"{where} should be a pair (op, source). Received: {pair!r}")
    op, source = pair
    if not isinstance(op, str) or not op:
        raise ValueError(f"{where} = {pair}: the op should be a name. Received: {op!r}")
    source = _state(source)
    if source is None or not 0 <= source <= node + 1:
        raise ValueError(f"{where} = {pair}: node {node} can read states 0 to {node + 1}. "
                         f"Received: {pair[1]!r}")
    return op, source


def _checked_concat(name, states, first, nodes):
    if isinstance(states, str) or not isinstance(states, Iterable) or not (states := tuple(states)):
        raise ValueError(f"{name} should list at least one state. Received: {states!r}")
    for state in states:
        if _state(state) is None or not first <= state <= nodes + 1:
            raise ValueError(f"{name} = {states}: with nodes={nodes} it can hold states {first} to "
                             f"{nodes + 1}. Received: {state!r}")
    if len(set(states)) < len(states):
        raise ValueError(f"{name} should list a state once. Received: {states}")
    return tuple(map(_state, states))


def _state(value):
    """The value as a plain int (NumPy's integers too), None for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _checked_meanings(meanings):
    if not isinstance(meanings, (tuple, list)) or not all(
            isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(name, str) for name in pair)
            for pair in meanings):
        raise ValueError(f"meanings should be (printed name, op name) pairs. Received: {meanings!r}")
    return tuple(map(tuple, meanings))


def _from_parts(parts, text):
    """Genotype of what was read; text that names something unknown is refused, not half understood."""
    missing = [cell for cell in _CELLS if cell not in parts]
    if missing:
        raise ValueError(f"A genotype needs normal and reduce; missing: {', '.join(missing)}. "
                         f"Received: {_excerpt(text)}")
    unknown = [str(key) for key in parts if key not in _KEYS]
    if unknown:
        raise ValueError(f"A genotype has no {', '.join(unknown)}. Known: {', '.join(_KEYS)}")
    for cell in _CELLS:
        pairs = parts[cell] = _checked_pairs(cell, parts[cell])
        parts.setdefault(f"{cell}_concat", range(2, 2 + len(pairs) // 2))
    return _known(Genotype(**parts))


def _known(genotype):
    """The genotype, if its op names are known; whether they can be built is for `keras_pibnas.spaces`."""
    known = OPS | {op for published in _PUBLISHED.values() for one in (published, published.resolved())
                   for op, _ in one.normal + one.reduce}
    for cell in _CELLS:
        pairs = zip(getattr(genotype, cell), getattr(genotype.resolved(), cell), strict=True)
        for index, (pair, (op, _)) in enumerate(pairs):
            if OPS and op not in known and not any(re.fullmatch(p, op) for p in OP_PATTERNS):
                raise ValueError(f"{cell}[{index}] = {pair}: unknown op {op!r}. "
                                 f"Known: {', '.join(sorted(known))}")
    return genotype


def _call(text):
    """The one "Genotype(...)" in a text, quotes made straight."""
    if not isinstance(text, str):
        raise ValueError(f"A printed genotype is text. Received: {text!r}")
    straight = text.replace("\\n", " ").translate(_STRAIGHT)
    starts = [match.start() for match in re.finditer(r"Genotype\s*\(", straight)]
    if len(starts) != 1:
        raise ValueError(f"The text should be JSON or hold one 'Genotype(normal=[...], ...)'; it holds "
                         f"{len(starts)}. Received: {_excerpt(text)}")
    depth = 0
    for end, character in enumerate(straight[starts[0]:], starts[0] + 1):
        depth += (character == "(") - (character == ")")
        if character == ")" and depth == 0:
            return straight[starts[0]:end]
    raise ValueError(f"The text ends before 'Genotype(' is closed. Received: {_excerpt(text)}")


def _parts(call):
    """{keyword: value} of a printed call, read from its syntax tree."""
    try:
        tree = ast.parse(call, mode="eval").body
    except SyntaxError as error:
        near = (error.text or call)[max(0, (error.offset or 1) - 20):][:50].strip()
        raise ValueError(f"The genotype's text is not readable ({error.msg}) near: {near}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError(f"The genotype's text is not readable. Received: {_excerpt(call)}") from None
    if tree.args or any(keyword.arg is None for keyword in tree.keywords):
        raise ValueError("Every part of a printed genotype should be named: normal=[...]. "
                         f"Received: {_excerpt(call)}")
    return {keyword.arg: _value(keyword.arg, keyword.value) for keyword in tree.keywords}


def _value(name, tree):
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "range":
        return _range(name, tree)
    if isinstance(tree, (ast.List, ast.Tuple)):
        return tuple(_literal(f"{name}[{index}]", element) for index, element in enumerate(tree.elts))
    return _literal(name, tree)


def _range(name, tree):
    bounds = [_literal(name, bound) for bound in tree.args]
    if not 1 <= len(bounds) <= 3 or not all(isinstance(bound, int) and 0 <= bound < 1000 for bound in bounds):
        raise ValueError(f"{name} should be a range of states. Received: {_excerpt(ast.unparse(tree))}")
    return range(*bounds)


def _literal(where, tree):
    try:
        return ast.literal_eval(tree)
    except (ValueError, TypeError, RecursionError, MemoryError):
        hint = "; is a comma missing?" if isinstance(tree, ast.Call) else ""
        raise ValueError(f"{where} is not readable as a quoted name and a number{hint} "
                         f"Received: {_excerpt(ast.unparse(tree))}") from None


def _excerpt(text):
    text = " ".join(text.split()) if isinstance(text, str) else repr(text)
    return text if len(text) <= 80 else text[:80] + "..."


_PUBLISHED = {
    # Pseudo-Inverted Bottleneck Convolution for DARTS Search Space (arXiv:2301.01286), Fig. 4.
    "PIBCONV": Genotype(
        normal=(("pib_conv_3x3", 0), ("pib_conv_5x5", 1), ("pib_conv_3x3", 0), ("pib_conv_3x3", 2),
                ("pib_conv_3x3", 2), ("pib_conv_3x3", 1), ("pib_conv_3x3", 1), ("pib_conv_3x3", 3)),
        reduce=(("avg_pool_3x3", 0), ("pib_conv_5x5", 1), ("avg_pool_3x3", 0), ("dil_conv_5x5", 2),
                ("avg_pool_3x3", 0), ("skip_connect", 2), ("pib_conv_3x3", 3), ("pib_conv_3x3", 0))),
    # DARTS (arXiv:1806.09055), first order, as published with its code.
    "DARTS_V1": Genotype(
        normal=(("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 0), ("sep_conv_3x3", 1),
                ("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 2)),
        reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 0),
                ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("avg_pool_3x3", 0))),
    # DARTS, second order: Fig. 4 and 5 there.
    "DARTS_V2": Genotype(
        normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
                ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2)),
        reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
                ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1))),
    # NASNet-A (arXiv:1707.07012), as published with the code of DARTS.
    "NASNET": Genotype(
        normal=(("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 0), ("sep_conv_3x3", 0),
                ("avg_pool_3x3", 1), ("skip_connect", 0), ("avg_pool_3x3", 0), ("avg_pool_3x3", 0),
                ("sep_conv_3x3", 1), ("skip_connect", 1)),
        reduce=(("sep_conv_5x5", 1), ("sep_conv_7x7", 0), ("max_pool_3x3", 1), ("sep_conv_7x7", 0),
                ("avg_pool_3x3", 1), ("sep_conv_5x5", 0), ("skip_connect", 3), ("avg_pool_3x3", 2),
                ("sep_conv_3x3", 2), ("max_pool_3x3", 1)),
        normal_concat=(2, 3, 4, 5, 6),
        reduce_concat=(4, 5, 6)),
    # AmoebaNet-A (arXiv:1802.01548), as published with the code of DARTS.
    "AMOEBANET": Genotype(
        normal=(("avg_pool_3x3", 0), ("max_pool_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 2),
                ("sep_conv_3x3", 0), ("avg_pool_3x3", 3), ("sep_conv_3x3", 1), ("skip_connect", 1),
                ("skip_connect", 0), ("avg_pool_3x3", 1)),
        reduce=(("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0), ("sep_conv_7x7", 2),
                ("sep_conv_7x7", 0), ("avg_pool_3x3", 1), ("max_pool_3x3", 0), ("max_pool_3x3", 1),
                ("conv_7x1_1x7", 0), ("sep_conv_3x3", 5)),
        normal_concat=(4, 5, 6),
        reduce_concat=(3, 4, 6)),
    # DARTS searched on ADP (pathology), with 2, 3 and 4 nodes.
    "DARTS_ADP_N2": Genotype(
        normal=(("max_pool_3x3", 1), ("max_pool_3x3", 0), ("dil_conv_5x5", 2), ("max_pool_3x3", 1)),
        reduce=(("sep_conv_5x5", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 2), ("dil_conv_5x5", 0)),
        normal_concat=(2, 3),
        reduce_concat=(2, 3)),
    "DARTS_ADP_N3": Genotype(
        normal=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("sep_conv_5x5", 2), ("max_pool_3x3", 1),
                ("dil_conv_5x5", 3), ("max_pool_3x3", 1)),
        reduce=(("max_pool_3x3", 0), ("dil_conv_5x5", 1), ("max_pool_3x3", 0), ("max_pool_3x3", 2),
                ("skip_connect", 1), ("max_pool_3x3", 0)),
        normal_concat=(2, 3, 4),
        reduce_concat=(2, 3, 4)),
    "DARTS_ADP_N4": Genotype(
        normal=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2),
                ("max_pool_3x3", 0), ("max_pool_3x3", 2), ("dil_conv_3x3", 4), ("max_pool_3x3", 0)),
        reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("dil_conv_5x5", 2), ("max_pool_3x3", 0),
                ("sep_conv_5x5", 2), ("max_pool_3x3", 0), ("dil_conv_3x3", 2), ("max_pool_3x3", 4))),
    # README of DARTS with involution, networks of 4, 8, 10 and 20 layers; names as printed there.
    "INVOLUTION_L4": Genotype(
        normal=(("sep_invo_3x3", 1), ("sep_invo_3x3", 0), ("sep_invo_3x3", 2), ("dil_invo_3x3", 1),
                ("skip_connect", 0), ("skip_connect", 2), ("skip_connect", 2), ("skip_connect", 3)),
        reduce=(("avg_pool_3x3", 0), ("sep_invo_5x5", 1), ("sep_invo_5x5", 2), ("skip_connect", 0),
                ("avg_pool_3x3", 0), ("dil_invo_5x5", 3), ("skip_connect", 4), ("sep_invo_5x5", 0))),
    # Printed with names of convolutions, which in that project's code stand for involutions.
    "INVOLUTION_L8": Genotype(
        normal=(("dil_conv_3x3", 0), ("skip_connect", 1), ("skip_connect", 0), ("skip_connect", 2),
                ("sep_conv_3x3", 2), ("dil_conv_5x5", 0), ("skip_connect", 0), ("skip_connect", 2)),
        reduce=(("sep_conv_3x3", 0), ("sep_conv_5x5", 1), ("avg_pool_3x3", 1), ("skip_connect", 2),
                ("skip_connect", 2), ("skip_connect", 3), ("dil_conv_3x3", 3), ("skip_connect", 1)),
        meanings=(("sep_conv_3x3", "sep_invo_3x3"), ("sep_conv_5x5", "sep_invo_5x5"),
                  ("dil_conv_3x3", "dil_invo_3x3"), ("dil_conv_5x5", "dil_invo_5x5"))),
    "INVOLUTION_L10": Genotype(
        normal=(("invo2d_3x3", 1), ("invo2d_3x3", 0), ("invo2d_3x3", 2), ("dil_invo2d_3x3", 1),
                ("skip_conn", 0), ("skip_conn", 2), ("skip_conn", 2), ("skip_conn", 3)),
        reduce=(("avg_pool_3x3", 0), ("invo2d_5x5", 1), ("invo2d_5x5", 2), ("skip_conn", 0),
                ("avg_pool_3x3", 0), ("dil_invo2d_5x5", 3), ("skip_conn", 4), ("invo2d_5x5", 0))),
    "INVOLUTION_L20": Genotype(
        normal=(("invo2d_3x3", 0), ("invo2d_3x3", 1), ("skip_conn", 0), ("skip_conn", 1),
                ("skip_conn", 0), ("skip_conn", 2), ("skip_conn", 0), ("invo2d_3x3", 1)),
        reduce=(("avg_pool_3x3", 0), ("invo2d_3x3", 1), ("skip_conn", 2), ("avg_pool_3x3", 0),
                ("skip_conn", 2), ("avg_pool_3x3", 0), ("avg_pool_3x3", 0), ("skip_conn", 2))),
}
