"""A search space: the ops that each edge of a cell chooses from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from keras_pibnas.spaces.registry import build_edges, canonical
from keras_pibnas.topology import Topology

POOLS = ("max_pool_3x3", "avg_pool_3x3")


@dataclass(frozen=True)
class SearchSpace:
    """The ops that an edge chooses from.

    Args:
        name: of the space.
        primitives: op names, in the order of the columns of alpha.
        pool_norm: whether pools in the supernet are followed by a batch normalization without gamma and beta.
        edges: what each edge allows, where that is not all: {"normal": rows, "reduce": rows}, or the rows of both. A
            row is a list of op names, or None for all; rows are in the order of alpha's: node by node, sources in
            order. An empty row is an edge that is not there. Cells of fewer nodes have the first rows.
        topology: the graph of a cell.

    Raises:
        ValueError: names the argument, the row and what is wrong with it.

    Example:
        >>> space = kp.spaces.SearchSpace("mine", ("skip_connect", "sep_conv_3x3"), edges=[["skip_connect"], None])
        >>> space.ops_on("reduce", source=0, node=0)
        ('skip_connect',)
    """

    name: str
    primitives: tuple
    pool_norm: bool = False
    edges: tuple | Mapping | None = None
    topology: Topology = Topology()

    def __post_init__(self):
        object.__setattr__(self, "primitives", tuple(self.primitives))  # a list where it comes from a file
        if isinstance(self.topology, Mapping):
            object.__setattr__(self, "topology", Topology(**self.topology))
        if not isinstance(self.topology, Topology):
            raise ValueError(f"topology must be a Topology, or its arguments by name. Received: {self.topology!r}")
        if self.edges is not None:
            tables = _by_kind(self.edges, self.topology.kinds)
            rows = tuple(self._rows(kind, table) for kind, table in zip(self.topology.kinds, tables, strict=True))
            object.__setattr__(self, "topology", replace(self.topology, nodes=self._nodes_of(rows)))
            object.__setattr__(self, "edges", rows)
            self._check_nodes()

    def _rows(self, kind, table):
        if isinstance(table, str | Mapping) or not hasattr(table, "__iter__"):
            raise ValueError(f"{kind} is a list of rows, each a list of op names. Received: {table!r}")
        return tuple(self._row(f"{kind}[{index}]", row) for index, row in enumerate(table))

    def _row(self, where, row):
        """The allowed ops of an edge, in the order of the columns."""
        if row is None:
            return self.primitives
        if not isinstance(row, list | tuple) or not all(isinstance(op, str) for op in row):
            raise ValueError(f"{where} is a list of op names, or None for all. Received: {row!r}")
        allowed, known = [canonical(op) for op in row], [canonical(op) for op in self.primitives]
        for op, name in zip(row, allowed, strict=True):
            if name not in known or allowed.count(name) > 1:
                wrong = "stands twice" if name in known else f"is none of the space's: {', '.join(self.primitives)}"
                raise ValueError(f"{where}: op {op!r} {wrong}. Received: {list(row)}")
        return tuple(op for op, name in zip(self.primitives, known, strict=True) if name in allowed)

    def _nodes_of(self, rows):
        """The number of nodes of cells with so many edges."""
        counts = [replace(self.topology, nodes=nodes).edge_count for nodes in range(1, 9)]
        if len(set(map(len, rows))) != 1 or len(rows[0]) not in counts:
            raise ValueError(
                f"Cells of 1 to 8 nodes have {', '.join(map(str, counts))} edges, normal and reduction cells as many. "
                f"Received: {' and '.join(str(len(table)) for table in rows)} rows"
            )
        return 1 + counts.index(len(rows[0]))

    def _check_nodes(self):
        for kind, rows in zip(self.topology.kinds, self.edges, strict=True):
            for node in range(self.topology.nodes):
                own = [rows[row] for row in self.topology.node_rows(node)]
                if not any(canonical(op) != "none" for ops in own for op in ops):
                    raise ValueError(f"No edge into node {node} of the {kind} cell has an op other than none.")

    def cell(self, nodes: int | None = None) -> Topology:
        """The topology of a cell of so many nodes; None for the space's own number.

        Raises:
            ValueError: more nodes than `edges` has rows for.
        """
        nodes = self.topology.nodes if nodes is None else nodes
        if self.edges is not None and nodes > self.topology.nodes:
            raise ValueError(
                f"Space {self.name!r} says what the edges of {self.topology.nodes} nodes allow. Received: nodes={nodes}"
            )
        return replace(self.topology, nodes=nodes)

    def ops_on(self, cell: str, source: int, node: int) -> tuple:
        """The names of the ops that an edge allows, in the order of the columns.

        Args: cell: "normal" or "reduce"; source: the state that it leaves; node: the node that it enters, from 0.

        Raises:
            ValueError: there is no such edge.
        """
        topology = self.cell(node + 1)
        if cell not in topology.kinds or not 0 <= source < topology.inputs + node:
            raise ValueError(
                f"Node {node} has edges from states 0 to {topology.inputs + node - 1} in the cells "
                f"{', '.join(topology.kinds)}. Received: cell={cell!r}, source={source!r}"
            )
        if self.edges is None:
            return self.primitives
        return self.edges[topology.kinds.index(cell)][topology.edge_row(source, node)]

    def mask(self, cell: str, nodes: int | None = None) -> tuple | None:
        """(edges, ops) of bool: the ops allowed on the edges of a cell of so many nodes; None for all."""
        topology = self.cell(nodes)
        if self.edges is None:
            return None
        rows = self.edges[topology.kinds.index(cell)][: topology.edge_count]
        return tuple(tuple(op in row for op in self.primitives) for row in rows)

    def build_op(self, name, /, channels, strides=1, branches=1, affine=False, **kwargs):
        """The layer of an op as a supernet of this space has it: without gamma and beta, if not asked for."""
        if self.pool_norm and canonical(name) in POOLS:
            kwargs["norm"] = True
        return build_edges(name, channels, strides, branches, affine=affine, **kwargs)

    def to_config(self) -> dict:
        """What `SearchSpace(**config)` and `spaces.load` read, as plain data; what is as by default is left out."""
        config = {"name": self.name, "primitives": list(self.primitives), "pool_norm": self.pool_norm}
        if self.edges is not None:
            tables = zip(self.topology.kinds, self.edges, strict=True)
            config["edges"] = {kind: [list(row) for row in rows] for kind, rows in tables}
        if self.topology != Topology():
            config["topology"] = asdict(self.topology)
        return config


KEYS = tuple(entry.name for entry in fields(SearchSpace))


def _by_kind(edges, kinds):
    """The rows of each kind of cell."""
    if isinstance(edges, Mapping):
        if set(edges) != set(kinds):
            raise ValueError(f"edges are of the cells {' and '.join(kinds)}. Received: {', '.join(map(str, edges))}")
        return [edges[kind] for kind in kinds]
    if isinstance(edges, str) or not hasattr(edges, "__iter__"):
        raise ValueError(f"edges is a list of rows, or one for each kind of cell. Received: {edges!r}")
    edges = tuple(edges)
    if edges and all(isinstance(rows, tuple) and rows and not isinstance(rows[0], str) for rows in edges):
        return edges  # as this class keeps them
    return [edges] * len(kinds)
