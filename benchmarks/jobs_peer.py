"""What a worker of the peer does: PyTorch, in the layout that the configuration names."""

import platform

import torch

from . import peer
from .peer_steps import Searcher, Trainer

LAYOUTS = {"default": torch.contiguous_format, "channels_last": torch.channels_last}


def use_threads(config):
    if config.get("device") != "gpu":
        torch.set_num_threads(config["threads"])


def gpu_memory():
    return torch.cuda.max_memory_allocated()


def versions():
    return {"python": platform.python_version(), "torch": torch.__version__}


def tensors(batch, layout):
    images, labels = (torch.from_numpy(array) for array in batch)
    return images.permute(0, 3, 1, 2).contiguous(memory_format=LAYOUTS[layout]), labels.long()


def search(config, batches, gate):
    net = peer.Supernet(config["space"], config["channels"], config["layers"], config["nodes"])
    train, valid = (tensors(batch, config["layout"]) for batch in batches)
    if config.get("device") == "gpu":
        net, train, valid = net.cuda(), *([part.cuda() for part in batch] for batch in (train, valid))
        net.alphas = [alpha.detach().cuda().requires_grad_() for alpha in net.alphas]
    narrow = torch.bfloat16 if config.get("dtype") == "mixed_bfloat16" else None
    searcher = Searcher(net.to(memory_format=LAYOUTS[config["layout"]]), config["order"], narrow=narrow)
    while True:
        gate.begin()
        gate.end(searcher.step(train, valid))


def build_network(config):
    net = peer.Network(config["genotype"], config["channels"], config["layers"])
    return net.to(memory_format=LAYOUTS[config["layout"]])


def train(config, batches, gate):
    trainer = Trainer(build_network(config))
    batch = tensors(batches[0], config["layout"])
    while True:
        gate.begin()
        gate.end(trainer.weight_step(batch))


@torch.inference_mode()
def inference(config, batches, gate):
    net = build_network(config).eval()
    images, _ = tensors(batches[0], config["layout"])
    while True:
        gate.begin()
        net(images)
        gate.end()


JOBS = {"search": search, "train": train, "inference": inference}
