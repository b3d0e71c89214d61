"""The peer: DARTS in plain PyTorch, one module an edge and op, as it is usually written.

It is what this library is measured against, so it does what the published code does (H. Liu et al., "DARTS",
2019; A. Ahmadian et al., "Pseudo-Inverted Bottleneck Convolution for DARTS Search Space", 2023) and nothing
cleverer. Its weights have the published names and counts, its outputs and gradients equal the published ones:
`tests/benchmarks/test_peer.py` holds both. Images are (B, C, H, W), in either memory format.
"""

import torch
import torch.nn.functional as F
from torch import nn

SPACES = {
    "darts": (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
    "pibconv": (
        "none",
        "skip_connect",
        "pib_conv_3x3",
        "pib_conv_5x5",
        "pib_conv_7x7",
        "dil_conv_3x3",
        "dil_conv_5x5",
        "conv_7x1_1x7",
        "max_pool_3x3",
        "avg_pool_3x3",
    ),
    "pibconv_published": (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "pib_conv_3x3",
        "pib_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
}


def conv(c_in, c_out, kernel, stride=1, dilation=1, groups=1):
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)


def batch_norm(channels, affine):
    return nn.BatchNorm2d(channels, affine=affine)


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class Chain(nn.Module):
    """Layers one after the other, under the published name `op`."""

    def __init__(self, *layers):
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


class FactorizedReduce(nn.Module):
    def __init__(self, c_in, c_out, affine):
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = batch_norm(c_out, affine)

    def forward(self, x):
        x = F.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def relu_conv_bn(c_in, c_out, affine):
    return Chain(nn.ReLU(), conv(c_in, c_out, 1), batch_norm(c_out, affine))


def skip_connect(c, stride, affine):
    return nn.Identity() if stride == 1 else FactorizedReduce(c, c, affine)


def dil_conv(c, stride, affine, kernel):
    return Chain(nn.ReLU(), conv(c, c, kernel, stride, 2, groups=c), conv(c, c, 1), batch_norm(c, affine))


def sep_conv(c, stride, affine, kernel):
    def half(stride):
        return nn.ReLU(), conv(c, c, kernel, stride, groups=c), conv(c, c, 1), batch_norm(c, affine)

    return Chain(*half(stride), *half(1))


def pib_conv(c, stride, affine, kernel):
    return Chain(
        conv(c, c, kernel, stride, groups=c),
        batch_norm(c, affine),
        conv(c, 2 * c, 1),
        conv(2 * c, c, kernel, groups=c),
        nn.GELU(),
        conv(c, c, 1),
    )


def conv_7x1_1x7(c, stride, affine):
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c, c, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(c, c, (7, 1), (stride, 1), (3, 0), bias=False),
        batch_norm(c, affine),
    )


OPS = {
    "none": lambda c, stride, affine: Zero(stride),
    "max_pool_3x3": lambda c, stride, affine: nn.MaxPool2d(3, stride, 1),
    "avg_pool_3x3": lambda c, stride, affine: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "skip_connect": skip_connect,
    "sep_conv_3x3": lambda c, stride, affine: sep_conv(c, stride, affine, 3),
    "sep_conv_5x5": lambda c, stride, affine: sep_conv(c, stride, affine, 5),
    "dil_conv_3x3": lambda c, stride, affine: dil_conv(c, stride, affine, 3),
    "dil_conv_5x5": lambda c, stride, affine: dil_conv(c, stride, affine, 5),
    "pib_conv_3x3": lambda c, stride, affine: pib_conv(c, stride, affine, 3),
    "pib_conv_5x5": lambda c, stride, affine: pib_conv(c, stride, affine, 5),
    "pib_conv_7x7": lambda c, stride, affine: pib_conv(c, stride, affine, 7),
    "conv_7x1_1x7": conv_7x1_1x7,
}


class MixedOp(nn.Module):
    def __init__(self, space, c, stride):
        super().__init__()
        self._ops = nn.ModuleList(self.build(space, name, c, stride) for name in SPACES[space])

    @staticmethod
    def build(space, name, c, stride):
        op = OPS[name](c, stride, affine=False)
        normalized = space == "darts" and "pool" in name  # the PIBConv spaces leave pools as they are
        return nn.Sequential(op, batch_norm(c, affine=False)) if normalized else op

    def forward(self, x, weights):
        return sum(w * op(x) for w, op in zip(weights, self._ops, strict=True))


class Cell(nn.Module):
    """What both kinds of cell share: the preprocessing of their two inputs."""

    def __init__(self, c_prev_prev, c_prev, c, reduction, reduction_prev, affine):
        super().__init__()
        self.reduction = reduction
        first = FactorizedReduce if reduction_prev else relu_conv_bn
        self.preprocess0 = first(c_prev_prev, c, affine)
        self.preprocess1 = relu_conv_bn(c_prev, c, affine)


class SearchCell(Cell):
    def __init__(self, plan, space, nodes):
        super().__init__(*plan, affine=False)
        c = plan[2]
        strides = [2 if self.reduction and source < 2 else 1 for n in range(nodes) for source in range(2 + n)]
        self._ops = nn.ModuleList(MixedOp(space, c, stride) for stride in strides)
        self.nodes = nodes

    def forward(self, s0, s1, weights):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for n in range(self.nodes):
            first = n * (n + 3) // 2
            states.append(sum(self._ops[first + j](s, weights[first + j]) for j, s in enumerate(states)))
        return torch.cat(states[2:], dim=1)


class DiscreteCell(Cell):
    def __init__(self, plan, genotype):
        super().__init__(*plan, affine=True)
        kind = "reduce" if self.reduction else "normal"
        self.pairs, self.concat = genotype[kind], genotype[f"{kind}_concat"]
        self._ops = nn.ModuleList(
            OPS[name](plan[2], 2 if self.reduction and source < 2 else 1, affine=True) for name, source in self.pairs
        )

    def forward(self, s0, s1):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for n in range(0, len(self.pairs), 2):
            states.append(sum(self._ops[i](states[self.pairs[i][1]]) for i in (n, n + 1)))
        return torch.cat([states[i] for i in self.concat], dim=1)


class LayerNorm(nn.LayerNorm):
    """Over the channels of (B, C, H, W)."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def build_stem(kind, c):
    if kind == "conv3x3":
        return nn.Sequential(nn.Conv2d(3, c, 3, padding=1, bias=False), nn.BatchNorm2d(c))
    return nn.Sequential(nn.Conv2d(3, c, 4, 4, padding=1, bias=False), LayerNorm(c, eps=1e-6))


def macro_plan(channels, layers, width):
    """For every cell: channels of its two inputs, its own channels, is it a reduction, was the one before."""
    c_prev_prev = c_prev = 3 * channels
    c, reduction_prev = channels, False
    for i in range(layers):
        reduction = i in (layers // 3, 2 * layers // 3)
        c *= 2 if reduction else 1
        yield c_prev_prev, c_prev, c, reduction, reduction_prev
        c_prev_prev, c_prev, reduction_prev = c_prev, width * c, reduction


class Supernet(nn.Module):
    """The relaxed network. Its parameters are the weights w; `alphas` holds the two (edges, ops) tensors."""

    def __init__(self, space="darts", channels=16, layers=8, nodes=4, num_classes=10, stem="conv3x3"):
        super().__init__()
        plan = list(macro_plan(channels, layers, nodes))
        self.stem = build_stem(stem, 3 * channels)
        self.cells = nn.ModuleList(SearchCell(p, space, nodes) for p in plan)
        self.classifier = nn.Linear(nodes * plan[-1][2], num_classes)
        shape = (nodes * (nodes + 3) // 2, len(SPACES[space]))
        self.alphas = [(1e-3 * torch.randn(shape)).requires_grad_() for _ in ("normal", "reduce")]

    def forward(self, x):
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            weights = F.softmax(self.alphas[int(cell.reduction)], dim=-1)
            s0, s1 = s1, cell(s0, s1, weights)
        return self.classifier(s1.mean((2, 3)))


class Network(nn.Module):
    """The discrete network of a genotype: a dict with normal, reduce, normal_concat, reduce_concat."""

    def __init__(self, genotype, channels=36, layers=20, num_classes=10, stem="conv3x3"):
        super().__init__()
        width = len(genotype["normal_concat"])
        plan = list(macro_plan(channels, layers, width))
        self.stem = build_stem(stem, 3 * channels)
        self.cells = nn.ModuleList(DiscreteCell(p, genotype) for p in plan)
        self.classifier = nn.Linear(width * plan[-1][2], num_classes)

    def forward(self, x):
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(s1.mean((2, 3)))
