"""Genotypes: the results of searches, and the published ones.

A cell has two input states, 0 and 1 (the outputs of the two cells before it); its nodes are states 2, 3, ...
A node adds operations, each on an earlier state: two of them in DARTS, whose genotypes list two (op name, source state)
pairs a node. The cell's output concatenates some of its states. Reference: DARTS (arXiv:1806.09055), section 2.

Op names are kept as they were printed; `keras_pibnas.spaces` knows the aliases.
"""

import json
import operator
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

from keras_pibnas import genotype_forms as forms
from keras_pibnas.genotype_forms import excerpt
from keras_pibnas.topology import Topology

# Op names that `parse`, `from_json` and `load` accept besides those of published genotypes; filled by
# `keras_pibnas.spaces`. Empty: all names.
OPS = set()
# As `OPS`: regular expressions, for names that hold a number of one's choice.
OP_PATTERNS = []

CELLS = forms.CELLS
_OPTIONAL = {"normal_edges": None, "reduce_edges": None, "meanings": (), "inputs": 2, "output": "concatenate"}
_KEYS = ("normal", "normal_concat", "reduce", "reduce_concat", *_OPTIONAL)


@dataclass(frozen=True)
class Cell:
    """One cell of a genotype, read node by node, for building networks and drawing pictures.

    Attributes:
        nodes: for each node, the (op name, source state) pairs that enter it. A node that nothing enters is not there:
            its place is empty, and no pair reads it.
        concat: the states that the output concatenates.
        inputs: number of input states; node i is state inputs + i.

    Example:
        >>> kp.genotypes.get("DARTS_V2").cell("normal").nodes[0]
        (('sep_conv_3x3', 0), ('sep_conv_3x3', 1))
    """

    nodes: tuple
    concat: tuple
    inputs: int = 2

    @property
    def pairs(self) -> tuple:
        """All (op name, source state) pairs, node by node."""
        return tuple(pair for node in self.nodes for pair in node)

    @property
    def edges(self) -> tuple:
        """All (source state, target state), in the order of `pairs`."""
        return tuple((source, state) for state, node in enumerate(self.nodes, self.inputs) for _, source in node)


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
        normal_edges, reduce_edges: number of pairs of every node, where they are not two each, such as (2, 0, 1, 1).
            A node without any is left out of the cell, as FairDARTS does it, and so is what reads it.
        inputs: number of input states of a cell: 2, or 1 in a chain of cells as NAS-Bench-201 has it. Node i is state
            inputs + i. Such a genotype has one kind of cell, `reduce` is empty: residual blocks reduce.
        output: how the states of `normal_concat` and `reduce_concat` leave the cell, one of `topology.OUTPUTS`.

    Raises:
        ValueError: names the cell, the index and the pair that is wrong, and why.

    Example:
        >>> pairs = [("sep_conv_3x3", 0), ("skip_connect", 1), ("sep_conv_3x3", 2)]
        >>> Genotype(pairs, pairs, (2, 3), (2, 3), (), (2, 1), (2, 1)).cell("normal").nodes
        ((('sep_conv_3x3', 0), ('skip_connect', 1)), (('sep_conv_3x3', 2),))
    """

    normal: tuple
    reduce: tuple
    normal_concat: tuple = (2, 3, 4, 5)
    reduce_concat: tuple = (2, 3, 4, 5)
    meanings: tuple = field(default=(), compare=False)
    normal_edges: tuple | None = None
    reduce_edges: tuple | None = None
    inputs: int = 2
    output: str = "concatenate"

    def __repr__(self):
        """What PyTorch's DARTS prints, and of the further fields those that are not as they are by default."""
        always = ("normal", "reduce", "normal_concat", "reduce_concat")
        told = [f for f in fields(self) if f.name in always or getattr(self, f.name) != f.default]
        return f"Genotype({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in told)})"

    def __post_init__(self):
        if self.inputs not in (1, 2):
            raise ValueError(f"A cell has one or two input states. Received: inputs={self.inputs!r}")
        if self.inputs == 1:
            self._check_single()
        for cell in self.cells:
            pairs, edges = _checked_cell(cell, getattr(self, cell), getattr(self, f"{cell}_edges"), self.inputs)
            object.__setattr__(self, cell, pairs)
            object.__setattr__(self, f"{cell}_edges", edges)
        if self.inputs == 2 and self.nodes != len(self._counts("reduce")):
            raise ValueError(
                "Both cells need the same number of nodes. "
                f"Received: normal with {self.nodes}, reduce with {len(self._counts('reduce'))}"
            )
        for cell in self.cells:
            name, first = f"{cell}_concat", {"normal": 0, "reduce": self.inputs}[cell]
            last = self.inputs + self.nodes - 1
            object.__setattr__(self, name, _checked_concat(name, getattr(self, name), first, last, self.nodes))
            if self.output == "last" and getattr(self, name) != (last,):
                raise ValueError(f"With output='last', {name} is ({last},). Received: {getattr(self, name)}")
        object.__setattr__(self, "meanings", _checked_meanings(self.meanings))
        _ = self.topology  # which checks the output
        for cell in self.cells:
            if not self.cell(cell).concat:
                states = getattr(self, f"{cell}_concat")
                raise ValueError(f"No edge enters any state of {cell}_concat. Received: {states}")

    def _check_single(self):
        if tuple(self.reduce) or tuple(self.reduce_concat):
            raise ValueError(
                "With inputs=1 residual blocks reduce: reduce and reduce_concat are empty. "
                f"Received: reduce={self.reduce}, reduce_concat={self.reduce_concat}"
            )
        object.__setattr__(self, "reduce", ())
        object.__setattr__(self, "reduce_concat", ())

    @property
    def cells(self) -> tuple:
        """The kinds of cells: ("normal", "reduce"), or ("normal",) where residual blocks reduce."""
        return CELLS if self.inputs == 2 else CELLS[:1]

    @property
    def topology(self) -> Topology:
        """The topology of its cells."""
        two = self.normal_edges is None and self.reduce_edges is None
        return Topology(self.inputs, self.nodes, 2 if two else None, self.output)

    @property
    def nodes(self) -> int:
        """Number of nodes in a cell, the input states not counted."""
        return len(self._counts("normal"))

    def cell(self, which: str) -> Cell:
        """The cell "normal" or "reduce", node by node."""
        if which not in self.cells:
            raise ValueError(f"A genotype has the cells {' and '.join(self.cells)}. Received: {which!r}")
        pairs, nodes, absent = iter(getattr(self, which)), [], set()
        for state, count in enumerate(self._counts(which), self.inputs):
            nodes.append(tuple(pair for pair in islice(pairs, count) if pair[1] not in absent))
            absent |= set() if nodes[-1] else {state}
        concat = getattr(self, f"{which}_concat")
        return Cell(tuple(nodes), tuple(state for state in concat if state not in absent), self.inputs)

    def _counts(self, which):
        return getattr(self, f"{which}_edges") or (2,) * (len(getattr(self, which)) // 2)

    def resolved(self) -> "Genotype":
        """The same genotype with every printed name replaced by what it stands for (see `meanings`)."""
        meaning = dict(self.meanings)
        return replace(self.renamed(lambda op: meaning.get(op, op)), meanings=())

    def renamed(self, rename) -> "Genotype":
        """The same genotype with rename(op name) for every op name."""
        cells = {cell: tuple((rename(op), source) for op, source in getattr(self, cell)) for cell in CELLS}
        return replace(self, **cells)

    def to_json(self) -> str:
        """JSON text: {"normal": [[op, source], ...], "normal_concat": [...], "reduce": ..., ...}."""
        return json.dumps({key: getattr(self, key) for key in self._written()})

    def _written(self):
        return [key for key in _KEYS if key not in _OPTIONAL or getattr(self, key) != _OPTIONAL[key]]

    @classmethod
    def from_json(cls, text: str) -> "Genotype":
        """Reads what `to_json` wrote; a missing concat means all nodes, an entry "source" is read over.

        Raises:
            ValueError: not JSON, no genotype, a wrong pair, or an op name that is not in `OPS`.
        """
        return _from_parts(forms.read_json(text), text)

    def to_config(self) -> dict:
        """The configuration of NAS-Bench-301 (ConfigSpace), as a dictionary; `parse` reads it.

        The order of the two pairs in a node is lost.

        Raises:
            ValueError: an op or a cell that NAS-Bench-301 does not have.
        """
        genotype = self.resolved()
        if genotype.inputs != 2 or genotype.output != "concatenate":
            raise ValueError("NAS-Bench-301 has cells of two inputs, whose nodes are concatenated. "
                             f"Received: inputs={self.inputs}, output={self.output!r}")  # fmt: skip
        cells = {cell: genotype.cell(cell) for cell in CELLS}
        return forms.write_config({k: c.nodes for k, c in cells.items()}, {k: c.concat for k, c in cells.items()})

    def to_string(self) -> str:
        """NAS-Bench-201's text, |op~0|+|op~0|op~1|+|op~0|op~1|op~2|; an edge that is not there is `none`.

        Raises:
            ValueError: the cells have two inputs, another output than the last node, or two ops on an edge.
        """
        if (self.inputs, self.output) != (1, "last"):
            raise ValueError(
                "NAS-Bench-201's text is of cells with inputs=1 and output='last'. "
                f"Received: inputs={self.inputs}, output={self.output!r}"
            )
        return forms.write_string(self.resolved().cell("normal").nodes)

    def save(self, path) -> None:
        """Writes the JSON to `path`, whole or not at all."""
        temporary = Path(f"{path}.tmp")
        temporary.write_text(self.to_json() + "\n", encoding="utf-8")
        os.replace(temporary, path)

    @classmethod
    def load(cls, path) -> "Genotype":
        """Reads a file that holds JSON or printed text (see `parse`).

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no genotype; the message names the file.
        """
        content = Path(path).read_bytes()
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            return cls.parse(content.decode(encoding))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def parse(cls, text: str | Mapping) -> "Genotype":
        """Reads a genotype as it stands in papers, READMEs, logs and benchmarks, or JSON. Nothing is evaluated.

        "Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=range(2, 6), reduce=[...], ...)", with any
        text around it, with straight or curly quotes; a missing concat means all nodes. Its cells may be

        - (op, source) pairs, two a node, or nested by node, with weights after them or not (AutoDL-Projects);
        - (op, node, source) triples, any number of them into a node (FairDARTS);
        - all edges of a cell, row by row of alpha, with `none` on those that are not taken, which are left out.

        A configuration of NAS-Bench-301 is read as a mapping, as JSON, and as ConfigSpace prints it; a cell of
        NAS-Bench-201 as |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, with any number of nodes.

        Raises:
            ValueError: no genotype or several, a wrong pair, or an op name that is not in `OPS`.
        """
        return _from_parts(forms.read(text), text)


@dataclass(frozen=True)
class Published:
    """A published genotype and what is printed of it.

    Attributes:
        genotype: the Genotype.
        source: paper, repository and file.
        params, macs: millions, as digits in a text, so that rounding can be told; None where nothing is printed.
        error: top-1 error, percent, as digits in a text; None where nothing is printed.
        dataset: of the printed figures.
        auxiliary: whether `params` counts the auxiliary head.
        where: the source of the figures.

    Example:
        >>> kp.genotypes.published("DARTS_V2").params  # in millions, as printed
        '3.3'
    """

    genotype: Genotype
    source: str
    params: str | None = None
    macs: str | None = None
    error: str | None = None
    dataset: str | None = None
    auxiliary: bool = False
    where: str | None = None


@cache
def _catalog():
    """{name: Published}, from `published.json`."""
    entries = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
    keys = {entry.name for entry in fields(Genotype)}
    catalog = {}
    for name, entry in entries.items():
        if "same_as" in entry:
            catalog[name] = catalog[entry["same_as"]]
        else:
            genotype = Genotype(**{key: entry[key] for key in entry.keys() & keys})
            catalog[name] = Published(genotype, entry["source"], **entry.get("printed", {}))
    return catalog


def names() -> tuple:
    """Names of the published genotypes.

    Example:
        >>> "PIBCONV" in kp.genotypes.names()
        True
    """
    return tuple(_catalog())


def get(name: str) -> Genotype:
    """The published genotype of that name.

    Raises:
        ValueError: there is none; the message lists the names.

    Example:
        >>> kp.genotypes.get("DARTS_V2").normal[:2]
        (('sep_conv_3x3', 0), ('sep_conv_3x3', 1))
    """
    return published(name).genotype


def published(name: str) -> Published:
    """The published genotype of that name, with its source and the figures printed of it.

    Raises:
        ValueError: there is none; the message lists the names.

    Example:
        >>> kp.genotypes.published("DARTS_V2").dataset
        'CIFAR-10'
    """
    catalog = _catalog()
    if name in catalog:
        return catalog[name]
    capitals = {known.upper(): known for known in catalog}
    close = get_close_matches(str(name).upper(), capitals, n=1)
    hint = f"Did you mean {capitals[close[0]]}? " if close else ""
    raise ValueError(f"Unknown genotype {name!r}. {hint}Known: {', '.join(catalog)}")


def random(ops: Iterable[str], nodes: int = 4, seed: int = 0) -> Genotype:
    """A uniformly random genotype, for baselines.

    Args:
        ops: list of op names to draw from; "none" is never drawn.
        nodes: nodes in a cell; each reads two distinct states.
        seed: the same seed gives the same genotype.

    Example:
        >>> kp.genotypes.random(("skip_connect", "sep_conv_3x3"), nodes=1, seed=0).normal
        (('skip_connect', 1), ('sep_conv_3x3', 0))
    """
    ops = [op for op in ops if op != "none"]
    if not ops or nodes < 1:
        raise ValueError(
            f"A random genotype needs an op other than none and at least one node. Received: ops={ops}, nodes={nodes}"
        )
    generator = Random(seed)
    normal, reduce = (
        [(generator.choice(ops), source) for node in range(nodes) for source in generator.sample(range(node + 2), 2)]
        for _ in CELLS
    )
    return Genotype(normal, reduce, range(2, nodes + 2), range(2, nodes + 2))


def _checked_cell(cell, pairs, edges, inputs=2):
    """(pairs, number of pairs of every node, or None for two each) of a cell."""
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise ValueError(f"{cell} should be a list of (op, source) pairs. Received: {pairs!r}")
    pairs = tuple(pairs)
    edges = None if edges is None else _checked_edges(cell, edges, len(pairs))
    owners = [node for node, count in enumerate(edges or (2,) * len(pairs)) for _ in range(count)]
    pairs = tuple(_checked_pair(f"{cell}[{i}]", owners[i], pair, inputs) for i, pair in enumerate(pairs))
    if not pairs:
        raise ValueError(f"{cell} needs at least one node, two (op, source) pairs. Received: ()")
    if edges is None and len(pairs) % 2:
        raise ValueError(
            f"{cell} has an odd number of pairs, {len(pairs)}, but a node takes two: {cell}[{len(pairs) - 1}] = "
            f"{pairs[-1]} has no partner; {cell}_edges says how many each node takes"
        )
    return pairs, edges


def _checked_edges(cell, edges, pairs):
    """As a tuple; None where every node has two pairs."""
    if isinstance(edges, str) or not isinstance(edges, Iterable):
        raise ValueError(f"{cell}_edges should list the number of pairs of every node. Received: {edges!r}")
    edges = tuple(map(_state, edges))
    if None in edges or min(edges, default=0) < 0 or sum(edges) != pairs:
        raise ValueError(f"{cell}_edges should add up to the {pairs} pairs of {cell}. Received: {edges}")
    return None if set(edges) == {2} else edges


def _checked_pair(where, node, pair, inputs):
    if isinstance(pair, str) or not isinstance(pair, Iterable) or len(pair := tuple(pair)) != 2:
        raise ValueError(f"{where} should be a pair (op, source). Received: {pair!r}")
    op, source = pair
    if not isinstance(op, str) or not op:
        raise ValueError(f"{where} = {pair}: the op should be a name. Received: {op!r}")
    source = _state(source)
    last = node + inputs - 1
    if source is None or not 0 <= source <= last:
        raise ValueError(f"{where} = {pair}: node {node} can read states 0 to {last}. Received: {pair[1]!r}")
    return op, source


def _checked_concat(name, states, first, last, nodes):
    if isinstance(states, str) or not isinstance(states, Iterable) or not (states := tuple(states)):
        raise ValueError(f"{name} should list at least one state. Received: {states!r}")
    for state in states:
        if _state(state) is None or not first <= state <= last:
            raise ValueError(
                f"{name} = {states}: with nodes={nodes} it can hold states {first} to {last}. Received: {state!r}"
            )
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
    if not isinstance(meanings, tuple | list) or not all(
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)
        for pair in meanings
    ):
        raise ValueError(f"meanings should be (printed name, op name) pairs. Received: {meanings!r}")
    return tuple(map(tuple, meanings))


def _from_parts(parts, text):
    """Genotype of what was read; text that names something unknown is refused, not half understood."""
    # AutoDL-Projects prints `connectN=None, connects=None`; "source" says where our own files come from.
    parts = {k: v for k, v in parts.items() if k != "source" and not (k in ("connectN", "connects") and v is None)}
    if parts.get("inputs") == 1:
        parts = {"reduce": (), "reduce_concat": ()} | parts
        return _known(Genotype(**_checked_keys(parts)))
    missing = [cell for cell in CELLS if cell not in parts]
    if missing:
        parts = ", ".join(missing)
        raise ValueError(f"A genotype needs normal and reduce; missing: {parts}. Received: {excerpt(text)}")
    parts = _checked_keys(parts)
    for cell, (pairs, edges) in forms.arrange(parts).items():
        pairs, edges = _checked_cell(cell, pairs, edges)
        parts |= {cell: pairs, f"{cell}_edges": edges}
        parts.setdefault(f"{cell}_concat", range(2, 2 + len(edges or pairs[::2])))
    return _known(Genotype(**parts))


def _checked_keys(parts):
    unknown = [str(key) for key in parts if key not in _KEYS]
    if unknown:
        raise ValueError(f"A genotype has no {', '.join(unknown)}. Known: {', '.join(_KEYS)}")
    return dict(parts)


def _known(genotype):
    """The genotype, if its op names are known; whether they can be built is for `keras_pibnas.spaces`."""
    cells = [one.cell(cell) for found in _catalog().values() for one in _both(found.genotype) for cell in one.cells]
    known = OPS | {op for cell in cells for op, _ in cell.pairs}
    for cell in genotype.cells:
        pairs = zip(getattr(genotype, cell), getattr(genotype.resolved(), cell), strict=True)
        for index, (pair, (op, _)) in enumerate(pairs):
            if OPS and op not in known and not any(re.fullmatch(p, op) for p in OP_PATTERNS):
                raise ValueError(f"{cell}[{index}] = {pair}: unknown op {op!r}. Known: {', '.join(sorted(known))}")
    return genotype


def _both(genotype):
    return genotype, genotype.resolved()
