"""The order of a cell's edges: the rows of alpha.

Node i is state i + 2 and has an edge from each of the i + 2 states before it; rows go node by node, sources in order.
"""


def edge_count(nodes):
    """Number of edges of a cell."""
    return sum(node + 2 for node in range(nodes))


def edge_row(source, node):
    """The row of the edge from a source state to a node."""
    return sum(earlier + 2 for earlier in range(node)) + source


def node_rows(node):
    """The rows of a node's edges, by source."""
    return [edge_row(source, node) for source in range(node + 2)]


def bundle_rows(nodes):
    """For each bundle, the rows of its edges."""
    return [[edge_row(*edge) for edge in edges] for edges in bundles(nodes)]


def bundles(nodes):
    """What is computed in one pass: for each state, the edges that leave it, (source, node) pairs.

    The last node's state has none.
    """
    return tuple(
        tuple((source, node) for node in range(max(0, source - 1), nodes)) for source in range(nodes + 1)
    )
