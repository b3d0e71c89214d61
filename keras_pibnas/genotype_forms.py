"""Reads the forms in which papers, READMEs, logs and benchmarks print genotypes: text -> {part: value}.

Nothing is evaluated: printed Python is read from its syntax tree. `genotypes.Genotype.parse` is the door.
"""

import ast
import json
import re
from collections.abc import Mapping
from itertools import islice

CELLS = ("normal", "reduce")
# The keys of NAS-Bench-301's configurations (ConfigSpace), and the ops that its space has.
CONFIG_PREFIX = "NetworkSelectorDatasetInfo:darts:"
CONFIG_OPS = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip

_CONFIG_KEY = r"(edge|inputs_node)_(normal|reduce)_(\d+)"
_CONFIG_LINE = re.compile(_CONFIG_KEY + r"['\"]?(?:\s*,\s*Value)?[\s:=]+['\"]?(\w+)")
# NAS-Bench-201: "|op~0|+|op~0|op~1|+..." of one node or more.
_CHAIN = re.compile(r"\|(?:[\w.]+~\d+\|)+(?:\+\|(?:[\w.]+~\d+\|)+)*")
_NUMPY = re.compile(r"u?int\d+|float\d+|str_|tensor")
_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": "'", "”": "'", "´": "'", "`": "'", '"': "'",
                           "\u00a0": " ", "\u200b": None, "\ufeff": None, "\\": None})  # fmt: skip


def read(text):
    """{"normal": ..., "reduce": ..., ...} as printed in a text, or in a NAS-Bench-301 configuration (a mapping).

    Raises:
        ValueError: no genotype or several, or text that is not readable.
    """
    if isinstance(text, Mapping):
        return text if set(CELLS) & set(text) else read_config(text)
    if not isinstance(text, str):
        raise ValueError(f"A printed genotype is text. Received: {text!r}")
    bare = text.strip(" \t\r\n\"'`\ufeff")
    if _CHAIN.search(bare):
        return read_string(bare)
    if re.search(r"edge_(normal|reduce)_\d", bare):
        return read_config({f"{m[1]}_{m[2]}_{m[3]}": m[4] for m in _CONFIG_LINE.finditer(bare)})
    if not bare.startswith("{") and (re.search(r"Genotype\s*\(", bare) or "{" not in bare):
        return _keywords(_call(text))
    return _braces(bare[bare.index("{") : bare.rindex("}") + 1] if "}" in bare else bare)


def excerpt(text):
    """The beginning of a text, in one line."""
    text = " ".join(text.split()) if isinstance(text, str) else repr(text)
    return text if len(text) <= 80 else text[:80] + "..."


def arrange(parts):
    """Brings printed cells to (op, source) pairs in the order of their nodes.

    Reads pairs nested by node, (op, source, weight) triples, (op, node, source) triples and lists of all edges
    of a cell (14 of four nodes; `none` there stands for an edge that is not taken, and goes).

    Returns:
        {cell: (pairs, number of pairs of each node or None for two)}. What has none of these forms comes as it is.
    """
    printed = {cell: parts[cell] for cell in CELLS if cell in parts}
    concats = {cell: _numbers(parts.get(f"{cell}_concat")) for cell in printed}
    targets = [triple[1] for pairs in printed.values() if _by_target(pairs) for triple in pairs]
    last = max([1, *targets, *(state for concat in concats.values() for state in concat)])
    given = {cell: parts.get(f"{cell}_edges") for cell in printed}
    return {
        cell: _arranged(pairs, concats[cell], last) if given[cell] is None else (pairs, given[cell])
        for cell, pairs in printed.items()
    }


def _arranged(pairs, concat, last):
    if not isinstance(pairs, list | tuple) or not pairs:
        return pairs, None
    if all(isinstance(node, list | tuple) and all(isinstance(pair, list | tuple) for pair in node) for node in pairs):
        return tuple(_unweighted(pair) for node in pairs for pair in node), tuple(map(len, pairs))
    if _by_target(pairs):
        counts = tuple(sum(target == state for _, target, _ in pairs) for state in range(2, last + 1))
        ordered = sorted(pairs, key=lambda triple: triple[1])
        return tuple((op, source) for op, _, source in ordered), counts
    pairs = tuple(map(_unweighted, pairs))
    nodes = _nodes_of_all_edges(pairs, concat)
    return (pairs, None) if nodes is None else _taken(pairs, nodes)


def _by_target(pairs):
    """Whether these are triples (op, node, source), as FairDARTS prints them."""
    return isinstance(pairs, list | tuple) and bool(pairs) and all(
        isinstance(t, list | tuple) and len(t) == 3 and type(t[1]) is type(t[2]) is int and 2 <= t[1] < 1000
        for t in pairs
    )  # fmt: skip


def _unweighted(pair):
    """(op, source) of (op, source, weight), as AutoDL-Projects' searches print it."""
    weighted = isinstance(pair, list | tuple) and len(pair) == 3 and isinstance(pair[2], float)
    return tuple(pair[:2]) if weighted else pair


def _nodes_of_all_edges(pairs, concat):
    """Number of nodes if the pairs are all edges of a cell, row by row of alpha; else None.

    An even number of pairs may also be two a node of a larger cell; `none` or the concatenated states tell.
    """
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        return None
    for nodes in range(2, len(pairs)):
        if [source for _, source in pairs] == [source for node in range(nodes) for source in range(node + 2)]:
            small = max(concat) <= nodes + 1 if concat else any(op == "none" for op, _ in pairs)
            return nodes if small or len(pairs) % 2 else None
    return None


def _taken(pairs, nodes):
    """The pairs without `none`; a node that has nothing else stays, a state of zeros, by one of them."""
    rows = iter(pairs)
    edges = [list(islice(rows, node + 2)) for node in range(nodes)]
    kept = [[pair for pair in node if pair[0] != "none"] or node[:1] for node in edges]
    return tuple(pair for node in kept for pair in node), tuple(map(len, kept))


def _numbers(concat):
    states = concat if isinstance(concat, list | tuple | range) else ()
    return [state for state in states if isinstance(state, int)]


def read_string(text):
    """The parts of a cell of NAS-Bench-201, "|nor_conv_3x3~0|+|none~0|skip_connect~1|+..." with any text around it.

    Raises:
        ValueError: the text holds several.
    """
    found = _CHAIN.findall(text)
    if len(found) != 1:
        raise ValueError(f"The text should hold one '|op~0|+|op~0|op~1|+...'; it holds {len(found)}. "
                         f"Received: {excerpt(text)}")  # fmt: skip
    nodes = [[edge.split("~") for edge in node.strip("|").split("|")] for node in found[0].split("+")]
    return {
        "normal": tuple((op, int(source)) for node in nodes for op, source in node),
        "normal_edges": tuple(map(len, nodes)),
        "normal_concat": (len(nodes),),
        "inputs": 1,
        "output": "last",
    }


def write_string(nodes):
    """NAS-Bench-201's text of a cell: the (op, source) pairs of each node.

    Raises:
        ValueError: two ops on an edge.
    """
    texts = []
    for node, pairs in enumerate(nodes):
        sources = [source for _, source in pairs]
        if len(set(sources)) < len(sources):
            raise ValueError(f"In NAS-Bench-201 an edge has one op. Received: node {node + 1} = {pairs}")
        ops = {source: op for op, source in pairs}
        texts.append("|" + "".join(f"{ops.get(source, 'none')}~{source}|" for source in range(node + 1)))
    return "+".join(texts)


def read_config(config):
    """The parts of a NAS-Bench-301 configuration: {"...edge_normal_0": op, "...inputs_node_normal_3": "0_2", ...}.

    Edges are rows of alpha; node 2 reads states 0 and 1. What else the configuration holds is read over.

    Raises:
        ValueError: a node's inputs or an op is missing or malformed; the message names the key.
    """
    found = {}
    for key, value in config.items():
        match = re.search(_CONFIG_KEY + "$", str(key))
        if match and str(value) != "None":
            found[match[0]] = str(value)
    cells = {cell: [pair for node in range(4) for pair in _config_node(found, cell, node)] for cell in CELLS}
    return cells | {f"{cell}_concat": range(2, 6) for cell in CELLS}


def _config_node(found, cell, node):
    key = f"inputs_node_{cell}_{node + 2}"
    text = found.get(key, "0_1" if node == 0 else None)
    match = re.fullmatch(r"(\d)_(\d)", str(text))
    if not match or not 0 <= int(match[1]) < int(match[2]) <= node + 1:
        raise ValueError(f"{key} names two states from 0 to {node + 1}, as 0_1. Received: {text}")
    for source in map(int, match.groups()):
        edge = f"edge_{cell}_{node * (node + 3) // 2 + source}"
        if edge not in found:
            raise ValueError(f"The configuration has no {edge}, the op from state {source} to node {node + 2}.")
        yield found[edge], source


def write_config(cells, concats):
    """The NAS-Bench-301 configuration of {cell: pairs of each node} and {cell: concatenated states}.

    Raises:
        ValueError: what such configurations do not hold; the message names it.
    """
    config = {}
    for cell, nodes in cells.items():
        if len(nodes) != 4 or tuple(concats[cell]) != (2, 3, 4, 5):
            raise ValueError(
                "NAS-Bench-301 has cells of four nodes, all concatenated. "
                f"Received: {cell} with {len(nodes)} nodes, {cell}_concat={tuple(concats[cell])}"
            )
        for node, pairs in enumerate(nodes):
            config |= _config_entries(cell, node, sorted(pairs, key=lambda pair: pair[1]))
    return config


def _config_entries(cell, node, pairs):
    sources = [source for _, source in pairs]
    if len(set(sources)) != 2 or len(sources) != 2:
        raise ValueError(f"In NAS-Bench-301 a node reads two states. Received: {cell} node {node + 2} = {tuple(pairs)}")
    for op, _ in pairs:
        if op not in CONFIG_OPS:
            raise ValueError(f"NAS-Bench-301 has no op {op!r}. Known: {', '.join(CONFIG_OPS)}")
    row = node * (node + 3) // 2
    entries = {f"{CONFIG_PREFIX}edge_{cell}_{row + source}": op for op, source in pairs}
    return entries | ({f"{CONFIG_PREFIX}inputs_node_{cell}_{node + 2}": "{}_{}".format(*sources)} if node else {})


def read_json(text):
    """The parts of a genotype in JSON.

    Raises:
        ValueError: the text is no JSON, or JSON of something else.
    """
    try:
        data = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"The genotype's JSON is not readable: {error}. Received: {excerpt(text)}") from None
    if not isinstance(data, dict):
        raise ValueError(f"A genotype in JSON is an object with normal and reduce. Received: {excerpt(text)}")
    return data


def _braces(text):
    """JSON, or a dictionary as Python prints it."""
    try:
        return read_json(text)
    except ValueError as error:
        try:
            tree = ast.parse(_plain(text), mode="eval").body
            keys = [ast.literal_eval(key) for key in tree.keys]
        except (AttributeError, SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            raise error from None
    return {key: _value(str(key), value) for key, value in zip(keys, tree.values, strict=True)}


def _call(text):
    """The one "Genotype(...)" in a text, quotes made straight."""
    for straight in (re.sub(r"#[^\n]*", "", _plain(text)), _plain(text)):  # some stand behind a "#"
        starts = [match.start() for match in re.finditer(r"Genotype\s*\(", straight)]
        if starts:
            break
    if len(starts) != 1:
        raise ValueError(
            "The text should be JSON or hold one 'Genotype(normal=[...], ...)'; it holds "
            f"{len(starts)}. Received: {excerpt(text)}"
        )
    depth = 0
    for end, character in enumerate(straight[starts[0] :], starts[0] + 1):
        depth += (character == "(") - (character == ")")
        if character == ")" and depth == 0:
            return straight[starts[0] : end]
    raise ValueError(f"The text ends before 'Genotype(' is closed. Received: {excerpt(text)}")


def _plain(text):
    return text.replace("\\n", "\n").translate(_STRAIGHT)


def _keywords(call):
    """{keyword: value} of a printed call, read from its syntax tree."""
    try:
        tree = ast.parse(call, mode="eval").body
    except SyntaxError as error:
        near = (error.text or call)[max(0, (error.offset or 1) - 20) :][:50].strip()
        raise ValueError(f"The genotype's text is not readable ({error.msg}) near: {near}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError(f"The genotype's text is not readable. Received: {excerpt(call)}") from None
    if tree.args or any(keyword.arg is None for keyword in tree.keywords):
        raise ValueError(f"Every part of a printed genotype should be named: normal=[...]. Received: {excerpt(call)}")
    return {keyword.arg: _value(keyword.arg, keyword.value) for keyword in tree.keywords}


def _value(name, tree):
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "range":
        return _range(name, tree)
    if isinstance(tree, ast.List | ast.Tuple):
        return tuple(_literal(f"{name}[{index}]", element) for index, element in enumerate(tree.elts))
    return _literal(name, tree)


def _range(name, tree):
    bounds = [_literal(name, bound) for bound in tree.args]
    if not 1 <= len(bounds) <= 3 or not all(isinstance(bound, int) and 0 <= bound < 1000 for bound in bounds):
        raise ValueError(f"{name} should be a range of states. Received: {excerpt(ast.unparse(tree))}")
    return range(*bounds)


def _literal(where, tree):
    try:
        return ast.literal_eval(_Scalars().visit(tree))
    except (ValueError, TypeError, RecursionError, MemoryError):
        hint = "; is a comma missing?" if isinstance(tree, ast.Call) else ""
        raise ValueError(
            f"{where} is not readable as a quoted name and a number{hint} Received: {excerpt(ast.unparse(tree))}"
        ) from None


class _Scalars(ast.NodeTransformer):
    """Takes a scalar's value out of "np.int64(1)", as NumPy 2 prints it."""

    def visit_Call(self, node):
        self.generic_visit(node)
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        is_scalar = len(node.args) == 1 and not node.keywords and _NUMPY.fullmatch(name)
        return node.args[0] if is_scalar and isinstance(node.args[0], ast.Constant | ast.UnaryOp) else node
