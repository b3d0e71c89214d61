"""NAS-Bench-201's table, from a file of the form that NASLib uses."""

import json
import pickle

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas import tabular

BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
WORST = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
MIDDLE = "|avg_pool_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|"


def content(kind=list):
    def record(last):
        return {
            "train_losses": kind([2.0, 1.0]), "eval_losses": kind([2.0, 1.5]), "train_acc1es": kind([20.0, 99.0]),
            "eval_acc1es": kind([10.0, last]), "cost_info": {"flops": 153.3, "params": 1.07, "latency": 0.02},
        }  # fmt: skip

    cells = {BEST: 94.5, WORST: 10.0, MIDDLE: 70.0}
    return {text: {"cifar10": record(last), "cifar10-valid": record(last - 4)} for text, last in cells.items()}


@pytest.fixture(params=["json", "pickle", "pickle of arrays"])
def path(request, tmp_path):
    path = tmp_path / "nb201_cifar10_full_training.pickle"
    if request.param == "json":
        path.write_text(json.dumps(content()))
    else:
        path.write_bytes(pickle.dumps(content(list if request.param == "pickle" else np.array)))
    return path


def test_query(path):
    table = tabular.read_nas_bench_201(path)
    genotype = kp.Genotype.parse(BEST)
    for asked in (BEST, genotype):
        found = table.query(asked)
        assert found["test"] == pytest.approx(0.945)
        assert found["curve"] == pytest.approx([0.1, 0.945])
        assert (found["params"], found["macs"]) == (1.07, 153.3)
    assert table.ranking() == [BEST, MIDDLE, WORST]
    assert table.percentile(genotype) == pytest.approx(100 * 2 / 3)
    valid = tabular.read_nas_bench_201(path, "cifar10-valid")
    assert valid.query(BEST)["test"] == pytest.approx(0.905)


def test_wrong_questions(path):
    with pytest.raises(ValueError, match="cifar10, cifar10-valid. Received: dataset='svhn'"):
        tabular.read_nas_bench_201(path, "svhn")
    with pytest.raises(ValueError, match="3 cells of NAS-Bench-201, but not this one"):
        tabular.read_nas_bench_201(path).query(BEST.replace("skip_connect", "none"))


class Harmful:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (b"", "neither JSON nor a pickle"),
        (b"\x80\x04nothing", "neither JSON nor a pickle"),
        (pickle.dumps({BEST: Harmful()}), "wants to call builtins.print"),
        (b'{"a": 1}', "should map texts"),
        (pickle.dumps([1]), "should map texts"),
        (json.dumps({BEST: {"cifar10": {"eval_acc1es": []}}}).encode(), "no list of eval_acc1es"),
    ],
)
def test_other_files_are_refused(tmp_path, capsys, wrong, message):
    path = tmp_path / "table.pickle"
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match=message):
        tabular.read_nas_bench_201(path)
    assert capsys.readouterr().out == ""
