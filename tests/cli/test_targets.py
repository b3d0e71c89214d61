"""Limits on what a search finds: --target-macs and the like, and the tables of latencies that `profile` measures."""

import contextlib
import io

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import profile, search, targets
from keras_pibnas.runs.files import write_table

SMALL = ["--target-channels=4", "--target-layers=3"]


def limited(*words):
    args = search.build_parser().parse_args(list(words))
    return targets.limited(kp.methods.get(args.method), args)


def test_targets_become_penalties():
    both = limited("--target-macs=300M", "--target-params=2M").penalties
    assert both == (
        kp.methods.ExpectedCost("macs", 300_000_000, 1.0, "hinge", 36, 20),
        kp.methods.ExpectedCost("params", 2_000_000, 1.0, "hinge", 36, 20),
    )
    one = limited("--target-params=2M", *SMALL, "--target-weight=3", "--target-form=log").penalties
    assert one == (kp.methods.ExpectedCost("params", 2_000_000, 3.0, "log", 4, 3),)


def test_other_penalties_stay_and_costs_of_the_method_give_way():
    """SNAS comes with an expected cost of its own, beta-DARTS with another penalty."""
    assert [type(penalty).__name__ for penalty in limited("--method=snas", "--target-macs=9M").penalties] == [
        "ExpectedCost"
    ]
    names = [type(p).__name__ for p in limited("--method=beta_darts", "--target-macs=9M").penalties]
    assert names == ["BetaDecay", "ExpectedCost"]
    assert search.method_of(search.build_parser().parse_args(["--method=beta_darts"])) == "beta_darts"


@pytest.fixture(scope="module", name="table")
def measured_table(tmp_path_factory):
    """(path, what was printed) of `profile --table` for the network of SMALL in a space of two ops."""
    space = kp.spaces.SearchSpace("timed", ("none", "skip_connect", "avg_pool_3x3"))
    path, out = tmp_path_factory.mktemp("table") / "latencies.csv", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setitem(kp.spaces.catalog._SPACES, "timed", space)
        words = ["--space=timed", "--layers=3", "--channels=4", "--side=8", "--repeats=2", "--breakdown=3"]
        assert profile.main(["--table", str(path), *words]) == path
    return path, out.getvalue()


def test_profile_writes_the_table(table):
    """Cells of 4, 8 and 16 channels, the last two reductions: sides 8; 8 and 4; 4 and 2."""
    path, out = table
    found = kp.methods.read_latencies(path)
    places = {(4, 8, 1), (8, 8, 2), (8, 4, 1), (16, 4, 2), (16, 2, 1)}
    want = {(op, c, (s, s), stride) for op in ("skip_connect", "avg_pool_3x3") for c, s, stride in places}
    assert set(found) == want and all(0 <= seconds < 1 for seconds in found.values())
    assert path.read_text().startswith("op,channels,side,stride,seconds\n")
    assert "3 of 10 ops at their places, the slowest first" in out and f"written: {path}" in out


def test_a_target_in_seconds_counts_by_the_table(table):
    method = limited("--target-latency=5ms", "--latencies", str(table[0]), *SMALL)
    penalty, found = method.penalties[0], kp.methods.read_latencies(table[0])
    assert penalty.target == 0.005 and penalty.unit == kp.methods.ExpectedCost(found).unit
    cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect", "avg_pool_3x3")) for kind in ("normal", "reduce")]
    settings = {"input_shape": (8, 8, 3), "num_classes": 10, "stem": "conv3x3"}
    bound = kp.methods.ExpectedCost(found, channels=4, layers=3).bind(cells=cells, **settings)
    # One node, whose two edges are kept: in the normal cell at 4 channels, in the reductions at 8 and 16.
    ops = ("skip_connect", "avg_pool_3x3")
    normal = [found[op, 4, (8, 8), 1] for op in ops]
    reduce = [found[op, 8, (8, 8), 2] + found[op, 16, (4, 4), 2] for op in ops]
    want = [2 * extreme(normal) + 2 * extreme(reduce) for extreme in (min, max)]
    assert [bound.prices.least, bound.prices.most] == pytest.approx(want) and want[0] < want[1]


def test_tables_are_read_back(tmp_path):
    table = {("skip_connect", 4, (8, 6), 1): 0.25, ("sep_conv_3x3", 8, (4, 4), 2): 1.5e-5}
    write_table(tmp_path / "table.csv", kp.methods.latency_rows(table))
    assert kp.methods.read_latencies(tmp_path / "table.csv") == table
    text = (tmp_path / "table.csv").read_text()
    assert "skip_connect,4,8x6,1,0.25\n" in text and "sep_conv_3x3,8,4,2,1.5e-05\n" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "has the columns op,channels,side,stride,seconds. Received: .* with a,b"),
        ("", "Received: .* with none"),
        ("op,channels,side,stride,seconds\nskip_connect,4,8,1,0.1\nskip_connect,x,8,1,0.1\n", "Line 3 of .*'x'"),
        ("op,channels,side,stride,seconds\nskip_connect,4,8,1\n", "Line 2 of .* is no row"),
        ("op,channels,side,stride,seconds\nskip_connect,4,8,1,-1\n", "Line 2 of .*seconds of -1.0"),
    ],
)
def test_wrong_tables(text, words, tmp_path):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        kp.methods.read_latencies(tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--target-macs=1", *SMALL], "The cheapest network of this space with channels=4, layers=3 costs"),
        (["--target-layers=3"], "there is none. Received: --target-layers"),
        (["--target-latency=5ms"], "Missing: --latencies FILE"),
        (["--latencies=table.csv"], "Missing: --target-latency"),
        (["--target-latency=1ms", "--latencies=missing.csv"], "No such file or directory: 'missing.csv'"),
        (["--target-latency=5minutes", "--latencies=table.csv"], "--target-latency: invalid time above 0"),
        (["--target-macs=none"], "--target-macs: invalid amount"),
        (["--target-macs=9M", "--target-weight=0"], "--target-weight: invalid number above 0"),
        (["--target-macs=9M", "--method=random_sharing"], "learns no alphas that a target could move"),
        (["--eigenvalues=2", "--eigenvalue-stop", "--method=random_sharing"], "--eigenvalues, --eigenvalue-stop"),
        (["--eigenvalues=0"], "--eigenvalues: invalid whole number"),
    ],
)
def test_wrong_targets(argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in fails(search.main, ["--space=darts", "--channels=4", "--layers=3", *argv])
    assert not list(tmp_path.iterdir())


def test_a_table_without_the_places_of_the_target(table, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(search.main, ["--space=darts", "--target-latency=1", "--latencies", str(table[0])])
    assert "no row for op 'max_pool_3x3', channels 36, side (16, 16), strides 1" in line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "Models to measure are missing, or --table FILE"),
        (["--table=t.csv", "PIBCONV"], "--table measures the ops of --space alone. Received: ['PIBCONV']"),
        (["--table=t.csv", "--space=nonsense"], "Unknown search space 'nonsense'"),
        (["--table=missing/t.csv", "--space=darts", "--layers=2", "--channels=2", "--side=8"], "No such file"),
    ],
)
def test_wrong_tables_to_write(argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kp.analysis, "latencies", lambda places, *rest: dict.fromkeys(places, 0.0))
    assert words in fails(profile.main, argv)
    assert not list(tmp_path.iterdir())
