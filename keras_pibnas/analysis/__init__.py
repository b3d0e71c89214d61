"""Looking at searches and networks: sizes of search spaces, Grad-CAM, pictures.

Matplotlib is imported when something is drawn, not before.
"""

from keras_pibnas.search.curvature import hessian_eigenvalues

from . import closed_form
from .alphas import crossings, favoured, genotype_weights, op_weights, read_alphas
from .cell_model import cell_model, plot_cell_graphviz
from .cells import plot_cell, plot_genotype
from .complexity import Complexity, complexity
from .curves import alpha_curves, alpha_heatmap
from .equations import block_weights, compare_blocks, convnext_weights, pibconv_weights
from .gradcam import grad_cam, gradcam_figure, upsample
from .history import error_curve, read_history, training_curves
from .landscape import regret_plot, results_plot, table_plot
from .memory import activation_timeline, peak_activation_memory
from .profile import LayerProfile, Profile, latencies, profile
from .roofline import machine_roofs, roofline_plot
from .space_size import (
    darts_cell_size,
    darts_space_size,
    nasnet_space_size,
    network_dimensions,
    network_space_size,
    space_size,
    supernet_weights,
    topology_paths,
)
from .style import op_color
from .tiny import Fit, Limits, fit_network
from .tradeoffs import accuracy_plot, pareto_front, roadmap_plot
from .variants import with_kernel_size

__all__ = [
    "Complexity",
    "Fit",
    "Limits",
    "LayerProfile",
    "Profile",
    "accuracy_plot",
    "activation_timeline",
    "alpha_curves",
    "alpha_heatmap",
    "block_weights",
    "cell_model",
    "closed_form",
    "compare_blocks",
    "complexity",
    "convnext_weights",
    "crossings",
    "darts_cell_size",
    "darts_space_size",
    "error_curve",
    "favoured",
    "genotype_weights",
    "grad_cam",
    "fit_network",
    "gradcam_figure",
    "hessian_eigenvalues",
    "latencies",
    "machine_roofs",
    "nasnet_space_size",
    "network_dimensions",
    "network_space_size",
    "op_color",
    "op_weights",
    "pareto_front",
    "peak_activation_memory",
    "pibconv_weights",
    "plot_cell",
    "plot_cell_graphviz",
    "plot_genotype",
    "profile",
    "read_alphas",
    "read_history",
    "regret_plot",
    "results_plot",
    "roadmap_plot",
    "table_plot",
    "roofline_plot",
    "space_size",
    "supernet_weights",
    "topology_paths",
    "training_curves",
    "upsample",
    "with_kernel_size",
]
