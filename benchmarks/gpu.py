"""Seconds, first step and memory of a search step on a GPU: both engines and the peer, at the paper's settings.

Batch 64, channels 16, layers 8; first and second order; float32 and bfloat16. Contenders run one after the other, each
in a process of its own, which has the whole GPU. Memory is the most that the framework held on the GPU.
"""

import subprocess
import sys

from . import harness, search_step

DTYPES = ("float32", "mixed_bfloat16")
ENGINES = ("tensorflow", "plain")
ASK = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


def parser():
    parser = search_step.parser()
    parser.description = __doc__
    parser.set_defaults(batch=[64], layout="channels_last")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES), help="ours")
    return parser


def gpu_count():
    """How many TensorFlow sees. Asked in another process: this one would hold the GPU's memory."""
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    return int(asked.stdout.split()[-1]) if asked.returncode == 0 else 0


def contenders(options, config):
    """Ours by each engine, then the peer in each layout."""
    ours, peers = [], []
    for contender in harness.contenders(options, config | {"device": "gpu"}):
        if contender.side == "peer":
            peers.append(contender)
        else:
            ours += [
                harness.Contender("ours", contender.python, contender.config | {"engine": engine})
                for engine in options.engine
            ]
    return ours + peers


def rows_of(config, options):
    name = f"search step on a GPU, {search_step.label(config)}, {config['dtype']}"
    rows = [
        row for contender in contenders(options, config) for row in harness.measure(name, [contender], options.steps)
    ]
    return harness.with_ratios(rows)


def main(argv=None):
    flags = parser()
    flags.parse_args(argv)
    if not gpu_count():
        raise SystemExit("TensorFlow sees no GPU on this machine: nothing was measured.")
    options = harness.parse(flags, argv)
    configs = [c | {"dtype": dtype} for c in search_step.configurations(options) for dtype in options.dtype]
    harness.write("gpu", [row for config in configs for row in rows_of(config, options)], options)


if __name__ == "__main__":
    main()
