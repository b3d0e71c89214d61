"""NAS-Bench-201's table, read from a file on disk, in the small form that NASLib uses.

A mapping from the text of a cell to data sets ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120") to
{"train_acc1es", "eval_acc1es", "train_losses", "eval_losses": a number an epoch, "cost_info": {"flops", "params",
...}}, as a pickle (nb201_cifar10_full_training.pickle) or as JSON. Accuracies there are in percent. References:
arXiv:2001.00326; NASLib, naslib/search_spaces/nasbench201/graph.py.
"""

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_pibnas.genotypes import Genotype

# What a pickle of numbers and texts needs; nothing else is called.
_SAFE = {
    ("collections", "OrderedDict"), ("numpy", "dtype"), ("numpy", "ndarray"), ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
}  # fmt: skip


@dataclass(frozen=True)
class NASBench201:
    """NAS-Bench-201's table of one data set.

    Attributes: dataset: its name in the file; cells: {text of the cell: record}.

    Example:
        >>> cell = "|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
        >>> kp.tabular.NASBench201("cifar10", {cell: {"eval_acc1es": [50.0, 90.0]}}).query(cell)["test"]
        0.9
    """

    dataset: str
    cells: dict

    def __len__(self):
        return len(self.cells)

    def query(self, genotype: Genotype | str) -> dict:
        """What is known of a cell: {"test": accuracy 0 to 1, "curve": of every epoch, "params", "macs"}.

        "test" is the last epoch's accuracy on the images that the file's data set is evaluated on: of "cifar10-valid"
        those are validation images. params: trainable parameters in millions, macs: FLOPs in millions, as the file has
        them; None where it has none.

        Args: genotype: a Genotype of NAS-Bench-201's space, or the text |op~0|+|op~0|op~1|+|op~0|op~1|op~2|.

        Raises:
            ValueError: the file has no such cell.
        """
        text = genotype if isinstance(genotype, str) else genotype.to_string()
        if text not in self.cells:
            raise ValueError(f"The table has {len(self)} cells of NAS-Bench-201, but not this one. Received: {text}")
        record = self.cells[text]
        curve = np.asarray(record["eval_acc1es"], "float64") / 100
        cost = record.get("cost_info") or {}
        return {
            "test": float(curve[-1]), "curve": curve, "params": cost.get("params"), "macs": cost.get("flops"),
        }  # fmt: skip

    def ranking(self) -> list:
        """The texts of all cells, best test accuracy first."""
        return sorted(self.cells, key=lambda text: -self.query(text)["test"])

    def percentile(self, genotype: Genotype | str) -> float:
        """Share of all cells, in percent, with a lower test accuracy."""
        own = self.query(genotype)["test"]
        return 100 * float(np.mean([self.query(text)["test"] < own for text in self.cells]))


def read_nas_bench_201(path: str | Path, dataset: str = "cifar10") -> NASBench201:
    """Reads a table of NAS-Bench-201 in the form of NASLib, a pickle or JSON.

    Args: path: of the file; dataset: one of the data sets in it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has another form, or not that data set. A pickle that holds more than numbers, texts and arrays
            is refused, and none of it is run.

    Example:
        >>> cell = "|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
        >>> content = {cell: {"cifar10": {"eval_acc1es": [50.0, 90.0]}}}
        >>> _ = Path("table.json").write_text(json.dumps(content))
        >>> len(kp.tabular.read_nas_bench_201("table.json"))
        1
    """
    content = _read(Path(path))
    if not isinstance(content, dict) or not content or not all(_is_cell(*item) for item in content.items()):
        raise ValueError(f"{path} should map texts |op~0|+... of NAS-Bench-201 to records by data set, as in NASLib")
    known = sorted(set.intersection(*(set(record) for record in content.values())))
    if dataset not in known:
        raise ValueError(f"{path} has the data sets {', '.join(known)}. Received: dataset={dataset!r}")
    cells = {text: record[dataset] for text, record in content.items()}
    wrong = next((text for text, record in cells.items() if not _is_record(record)), None)
    if wrong is not None:
        raise ValueError(f"{path} has no list of eval_acc1es for {wrong} on {dataset}")
    return NASBench201(dataset, cells)


def _is_cell(text, record):
    return isinstance(text, str) and text.startswith("|") and "~0|" in text and isinstance(record, dict)


def _is_record(record):
    return isinstance(record, dict) and np.ndim(record.get("eval_acc1es")) == 1 and len(record["eval_acc1es"]) > 0


def _read(path):
    content = path.read_bytes()
    try:
        if content[:1] in b"{[ \n":
            return json.loads(content)
        return _Reader(io.BytesIO(content)).load()
    except (ValueError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, IndexError) as error:
        raise ValueError(f"{path} is neither JSON nor a pickle of numbers: {error}") from None


class _Reader(pickle.Unpickler):
    """Reads numbers, texts, containers and NumPy arrays, and calls nothing else."""

    def find_class(self, module, name):
        if (module, name) not in _SAFE:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}")
        return super().find_class(module, name)
