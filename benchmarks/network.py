"""Seconds and memory of a discrete network, training step and inference: ours against the peer."""

import json

from keras_pibnas import genotypes

from . import harness


def parser():
    parser = harness.parser(__doc__)
    published = ["PIBCONV:10", "DARTS_V2:20"]
    parser.add_argument("--genotype", nargs="+", default=published, help="names, each with its layers")
    parser.add_argument("--job", nargs="+", choices=["train", "inference"], default=["train", "inference"])
    parser.add_argument("--channels", type=int, default=36)
    parser.add_argument("--batch", type=int, default=32)
    return parser


def configurations(options):
    for entry in options.genotype:
        name, _, layers = entry.partition(":")
        genotype = json.loads(genotypes.get(name).to_json())
        for job in options.job:
            config = {"job": job, "layers": int(layers), "channels": options.channels, "batch": options.batch}
            yield f"{name}, {layers} layers, {job}", {**config, "genotype": genotype}


def main(argv=None):
    options = harness.parse(parser(), argv)
    rows = []
    for name, config in configurations(options):
        rows += harness.measure(name, harness.contenders(options, config), options.steps)
    harness.write("network", rows, options)


if __name__ == "__main__":
    main()
