"""Where everything in the picture of a cell goes.

From left to right: the states c_{k-2} and c_{k-1}, the nodes by depth, the output c_k. Before each node is a
column for the labels of the ops that enter it, so a label has a place of its own as a node has.
"""

import itertools

from keras_pibnas.analysis import layout

# Inches.
NODE_WIDTH, NODE_HEIGHT, PORT_STEP, PASS_HEIGHT = 0.46, 0.40, 0.12, 0.03
GAP, MARGIN = 0.12, 0.12


def depths(cell):
    """{state: longest path to it from an input}, for every state that is there. Args: cell: `genotypes.Cell`."""
    found = dict.fromkeys(range(cell.inputs), 0)
    for state, pairs in enumerate(cell.nodes, cell.inputs):
        if pairs:
            found[state] = 1 + max(found[source] for _, source in pairs)
    return found


class Plan:
    """The layout of a cell, in inches, y downwards.

    Items are ("state", n), ("op", pair), ("out",) and ("pass", edge, column) where an edge passes a column.
    Edges are ("op", pair), from a state through the op's label to a node, and ("concat", state).

    Args:
        cell: a `genotypes.Cell`.
        label_sizes: (width, height) of the label of each pair.

    Attributes:
        width, height: of the whole picture.
        items: all but the passes.
        edges: all edges.
    """

    def __init__(self, cell, label_sizes):
        self._sizes = {("op", pair): size for pair, size in enumerate(label_sizes)}
        self._fill_columns(cell)
        self.edges = tuple(self._chains)
        self.items = tuple(item for column in self._columns for item in column if item[0] != "pass")
        self._links = [link for chain in self._chains.values() for link in itertools.pairwise(chain)]
        self._place_down()
        self._place_across()

    def _fill_columns(self, cell):
        """Puts states in even columns, ops in the odd ones before, c_k last; edges become chains of items."""
        depth = depths(cell)
        self._columns = [[] for _ in range(2 * max(depth.values()) + 2)]
        self._chains = {}
        for state in depth:
            self._columns[2 * depth[state]].append(("state", state))
        self._columns[-1].append(("out",))
        for pair, (source, node) in enumerate(cell.edges):
            op, column = ("op", pair), 2 * depth[node] - 1
            self._columns[column].append(op)
            self._connect(op, ("state", source), 2 * depth[source], op, column)
            self._chains[op].append(("state", node))
        for state in cell.concat:
            start, last = ("state", state), len(self._columns) - 1
            self._connect(("concat", state), start, 2 * depth[state], ("out",), last)

    def _connect(self, edge, start, first, end, last):
        passes = [("pass", edge, column) for column in range(first + 1, last)]
        for item in passes:
            self._columns[item[2]].append(item)
        self._chains[edge] = [start, *passes, end]

    def _place_down(self):
        self._columns = layout.order(self._columns, self._links)
        items = [item for column in self._columns for item in column]
        self._heights = {item: self._item_height(item) for item in items}
        stiff = [(a, b, _stiffness(a, b)) for a, b in self._links]
        self._y = layout.place(self._columns, self._heights, stiff, GAP)
        top = min(self._y[item] - self._heights[item] / 2 for item in items) - MARGIN
        self._y = {item: y - top for item, y in self._y.items()}
        self.height = max(self._y[item] + self._heights[item] / 2 for item in items) + MARGIN

    def _place_across(self):
        """Gives each column its x range; the gap to the next is wider where edges climb far."""
        self._x, left = {}, MARGIN
        for column in self._columns:
            width = max(self._item_width(item) for item in column)
            self._x.update(dict.fromkeys(column, (left, left + width)))
            ahead = [(a, b) for a, b in self._links if a in self._x and b not in self._x]
            climbs = [abs(self._y[a] - self._y[b]) for a, b in ahead]
            self.width = left + width + MARGIN
            left += width + min(1.1, 0.32 + 0.22 * max(climbs, default=0.0))

    def _item_height(self, item):
        if item[0] == "op":
            return self._sizes[item][1]
        if item[0] == "pass":
            return PASS_HEIGHT
        ports = max(sum(a == item for a, _ in self._links), sum(b == item for _, b in self._links))
        return max(NODE_HEIGHT, 0.09 * (ports + 1))

    def _item_width(self, item):
        return self._sizes[item][0] if item[0] == "op" else 0.0 if item[0] == "pass" else NODE_WIDTH

    def box(self, item):
        """(x0, y0, x1, y1) of an item, centred in its column; a pass reaches across the column."""
        x0, x1 = self._x[item]
        if item[0] != "pass":
            half = self._item_width(item) / 2
            x0, x1 = (x0 + x1) / 2 - half, (x0 + x1) / 2 + half
        return x0, self._y[item] - self._heights[item] / 2, x1, self._y[item] + self._heights[item] / 2

    def route(self, edge):
        """The path of an edge as ((x, y), (x, y)) stretches, each to be drawn as an S with level ends.

        Between the end of a stretch and the start of the next stands a label or a column to pass, straight.
        """
        stretches = []
        for a, b in itertools.pairwise(self._chains[edge]):
            start = self.box(a)[2], self._port(a, b, [y for x, y in self._links if x == a])
            end = self.box(b)[0], self._port(b, a, [x for x, y in self._links if y == b])
            stretches.append((start, end))
        return stretches

    def _port(self, item, other, others):
        """y at which the edge to `other` touches `item`: a node's edges are sorted by where they go."""
        if item[0] in ("op", "pass"):
            return self._y[item]
        others = sorted(others, key=self._y.get)
        step = min(PORT_STEP, (self._heights[item] - 0.12) / max(1, len(others) - 1))
        return self._y[item] + step * (others.index(other) - (len(others) - 1) / 2)


def _stiffness(a, b):
    """Long edges are kept straightest, as graphviz does it."""
    return (1.0, 2.0, 8.0)[(a[0] == "pass") + (b[0] == "pass")]
