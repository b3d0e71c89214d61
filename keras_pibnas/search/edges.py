"""The order of a cell's edges, the rows of alpha: see `keras_pibnas.topology`."""

from keras_pibnas.topology import bundle_rows, bundles, edge_count, edge_row, node_rows

__all__ = ["bundle_rows", "bundles", "edge_count", "edge_row", "node_rows"]
