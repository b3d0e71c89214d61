"""Looking at searches and networks: sizes of search spaces, Grad-CAM, pictures.

Matplotlib is imported when something is drawn, not before.
"""

from .alphas import crossings, favoured, genotype_weights, op_weights, read_alphas
from .cell_model import cell_model, plot_cell_graphviz
from .cells import plot_cell, plot_genotype
from .complexity import Complexity, complexity
from .curves import alpha_curves, alpha_heatmap
from .gradcam import grad_cam, gradcam_figure, upsample
from .history import error_curve, read_history, training_curves
from .memory import activation_timeline, peak_activation_memory
from .space_size import (
    darts_cell_size,
    darts_space_size,
    nasnet_space_size,
    network_space_size,
    space_size,
    topology_paths,
)
from .style import op_color
from .tradeoffs import accuracy_plot, pareto_front, roadmap_plot

__all__ = [
    "Complexity",
    "accuracy_plot",
    "activation_timeline",
    "alpha_curves",
    "alpha_heatmap",
    "cell_model",
    "complexity",
    "crossings",
    "darts_cell_size",
    "darts_space_size",
    "error_curve",
    "favoured",
    "genotype_weights",
    "grad_cam",
    "gradcam_figure",
    "nasnet_space_size",
    "network_space_size",
    "op_color",
    "op_weights",
    "pareto_front",
    "peak_activation_memory",
    "plot_cell",
    "plot_cell_graphviz",
    "plot_genotype",
    "read_alphas",
    "read_history",
    "roadmap_plot",
    "space_size",
    "topology_paths",
    "training_curves",
    "upsample",
]
