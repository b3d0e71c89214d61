"""The methods of papers on differentiable architecture search: relaxations, penalties, schedules, discretizations."""

from .catalog import get, names, register
from .cells import CellSpec, cells_of, genotype_mix
from .discretizations import Discretization, SkipLimited, Threshold, TopEdges
from .expected_cost import ExpectedCost, places
from .exponentiated import ExponentiatedGradient
from .latencies import latency_rows, read_latencies
from .method import Method, Stage
from .penalties import BetaDecay, DirichletKL, Entropy, Penalty, ZeroOne
from .perturbations import Adversarial, Perturbation, UniformNoise
from .projection import Projection, project
from .relaxation import Relaxation, Sigmoid, Simplex, Softmax
from .sampled import Dirichlet, Gumbel, Uniform
from .schedules import Constant, Cosine, Exponential, Linear, Schedule, schedule
from .seeds import ALPHA_STEP, PERTURBATION, WEIGHT_STEP, fold_seed, seeded
from .sharing import Ranked, rank_genotypes, sample_genotypes
from .stages import search_stages
from .wrappers import EdgeNormalized, Masked, Projected, SkipAssisted

__all__ = [
    "ALPHA_STEP",
    "PERTURBATION",
    "WEIGHT_STEP",
    "Adversarial",
    "BetaDecay",
    "CellSpec",
    "Constant",
    "Cosine",
    "Dirichlet",
    "DirichletKL",
    "Discretization",
    "EdgeNormalized",
    "Entropy",
    "ExpectedCost",
    "Exponential",
    "ExponentiatedGradient",
    "Gumbel",
    "Linear",
    "Masked",
    "Method",
    "Penalty",
    "Perturbation",
    "Projected",
    "Projection",
    "Ranked",
    "Relaxation",
    "Schedule",
    "Sigmoid",
    "Simplex",
    "SkipAssisted",
    "SkipLimited",
    "Softmax",
    "Stage",
    "Threshold",
    "TopEdges",
    "Uniform",
    "UniformNoise",
    "ZeroOne",
    "cells_of",
    "fold_seed",
    "genotype_mix",
    "get",
    "latency_rows",
    "names",
    "places",
    "project",
    "rank_genotypes",
    "read_latencies",
    "register",
    "sample_genotypes",
    "schedule",
    "search_stages",
    "seeded",
]
