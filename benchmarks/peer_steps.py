"""The peer's training and search steps, as published (see `peer.py`).

A pass in training mode moves the running statistics of its batch normalizations, also the passes of an alpha
step, as in the published code.
"""

import torch
import torch.nn.functional as F
from torch import autograd, nn


class Trainer:
    """Weight steps as published: gradient clipped to global norm 5, L2 term, momentum."""

    def __init__(self, net, lr=0.025, momentum=0.9, l2=3e-4, narrow=None):
        """narrow: a low-precision type that convolutions are computed in (torch.autocast), or None."""
        self.net, self.lr, self.momentum, self.l2, self.narrow = net, lr, momentum, l2, narrow
        self.weights = list(net.parameters())
        self.optimizer = torch.optim.SGD(self.weights, lr, momentum, weight_decay=l2)

    def loss(self, batch):
        images, labels = batch
        with torch.autocast(images.device.type, self.narrow, enabled=self.narrow is not None):
            return F.cross_entropy(self.net(images), labels)

    def weight_step(self, batch):
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.optimizer.step()
        return loss.item()


class Searcher(Trainer):
    """The bilevel step: first alphas, then weights. Second order is the published finite difference."""

    def __init__(self, net, order=1, **options):
        super().__init__(net, **options)
        self.order = order
        self.alpha_optimizer = torch.optim.Adam(net.alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def step(self, train, valid):
        gradients = self.alpha_gradients(train, valid)
        for alpha, gradient in zip(self.net.alphas, gradients, strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()
        return self.weight_step(train)

    def alpha_gradients(self, train, valid):
        if self.order == 2:
            return self.unrolled_gradients(train, valid)
        # The published first-order step calls loss.backward(): the gradients of w are computed along.
        return autograd.grad(self.loss(valid), self.net.alphas + self.weights)[:2]

    def unrolled_gradients(self, train, valid):
        before = [w.detach().clone() for w in self.weights]
        self.virtual_step(train)
        direct_0, direct_1, *v = autograd.grad(self.loss(valid), self.net.alphas + self.weights)
        self.assign(before)
        implicit = self.finite_difference(v, train)
        self.assign(before)
        return [d - self.lr * i for d, i in zip((direct_0, direct_1), implicit, strict=True)]

    @torch.no_grad()
    def virtual_step(self, train):
        """w' = w - lr (m v + grad L_train(w, alpha) + l2 w)"""
        with torch.enable_grad():
            gradients = autograd.grad(self.loss(train), self.weights)
        for w, g in zip(self.weights, gradients, strict=True):
            velocity = self.optimizer.state[w].get("momentum_buffer", torch.zeros_like(w))
            w -= self.lr * (self.momentum * velocity + g + self.l2 * w)

    def finite_difference(self, v, train, r=1e-2):
        """(d/dalpha L_train(w + eps v) - d/dalpha L_train(w - eps v)) / (2 eps), eps = r / |v|"""
        eps = r / torch.cat([x.flatten() for x in v]).norm()
        self.move(v, eps)
        plus = autograd.grad(self.loss(train), self.net.alphas)
        self.move(v, -2 * eps)
        minus = autograd.grad(self.loss(train), self.net.alphas)
        return [(p - m) / (2 * eps) for p, m in zip(plus, minus, strict=True)]

    @torch.no_grad()
    def move(self, v, eps):
        for w, direction in zip(self.weights, v, strict=True):
            w += eps * direction

    @torch.no_grad()
    def assign(self, values):
        for w, value in zip(self.weights, values, strict=True):
            w.copy_(value)
