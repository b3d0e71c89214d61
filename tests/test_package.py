"""The package as users get it: built, installed elsewhere, imported there; and the steps of CONTRIBUTING."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from packaging.requirements import Requirement

import keras_pibnas as kp
from keras_pibnas import schedules

ROOT = Path(__file__).parent.parent
HEAVY = "print(*{'matplotlib', 'sklearn', 'tensorflow_datasets', 'PIL', 'torch'} & set(sys.modules));"


def python(code, **environment):
    """Standard output of a process; its standard error is in the failure where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the sdist and the wheel made from it, built outside the tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("keras_pibnas", "apps"):  # apps stays out of the wheel
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_wheel_installs_elsewhere_and_imports_there(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    assert wheel.name.startswith(f"keras_pibnas-{kp.__version__}-py3")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            tmp_path,
            wheel,
        ],
        check=True,
    )
    installed = {path.relative_to(tmp_path) for path in tmp_path.glob("*/**/*.py")}
    assert installed == {path.relative_to(ROOT) for path in ROOT.glob("keras_pibnas/**/*.py")}
    assert (tmp_path / "keras_pibnas/py.typed").exists() and not (tmp_path / "apps").exists()
    code = "import keras_pibnas as kp; print(kp.__file__, kp.__version__)"
    found = python(code, PYTHONPATH=str(tmp_path)).split()
    assert found == [str(tmp_path / "keras_pibnas/__init__.py"), kp.__version__]
    done = subprocess.run(
        [tmp_path / "bin/keras-pibnas", "space", "--space=nasnet", "--format=csv"], cwd="/",
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("nasnet,cells,3.2e+11,320000000000\n")


@pytest.mark.slow
def test_the_distributions_pass_twine(built):
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_version_stands_in_one_place(built):
    stated = [path for path in [*ROOT.glob("*.toml"), *ROOT.glob("keras_pibnas/**/*.py")]
              if re.search(rf"""(?m)version.*["' =]{re.escape(kp.__version__)}""", path.read_text())]  # fmt: skip
    assert stated == [ROOT / "keras_pibnas/__init__.py"]
    assert {path.name for path in built.iterdir()} == {
        f"keras_pibnas-{kp.__version__}.tar.gz",
        f"keras_pibnas-{kp.__version__}-py3-none-any.whl",
    }


@pytest.fixture(scope="module")
def metadata(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        return archive.read(name).decode()


@pytest.mark.slow
def test_the_versions_in_use_are_within_the_bounds(metadata):
    wanted = {need.name: need for need in map(Requirement, re.findall("(?m)^Requires-Dist: (.*)$", metadata))}
    for name in ("tensorflow", "keras", "tensorflow-datasets"):
        assert "<" in str(wanted[name].specifier) and importlib.metadata.version(name) in wanted[name].specifier
    assert "rich" in wanted


def test_the_citation_is_of_this_version():
    assert f"\nversion: {kp.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.slow
def test_the_extras_are_there(metadata):
    assert set(re.findall("(?m)^Provides-Extra: (.*)$", metadata)) == {"bench", "dev", "export", "ray"}
    for name in ("tf2onnx", "onnxruntime", "ai-edge-litert"):
        assert re.search(rf"""(?m)^Requires-Dist: {name}>=.*extra == ['"]export['"]""", metadata)


def test_import_prints_nothing():
    # TensorFlow itself writes to standard error when it is imported, so that comes first.
    code = (
        "import os, sys, keras, tensorflow; sys.stderr.flush(); os.dup2(1, 2); import keras_pibnas;"
        "import keras_pibnas.layers, keras_pibnas.search, keras_pibnas.network, keras_pibnas.data"
    )
    assert python(code, PYTHONPATH=str(ROOT)) == ""


def test_import_leaves_heavy_packages_alone():
    code = f"import sys, keras; {HEAVY} import keras_pibnas; {HEAVY}"
    before, after = python(code, PYTHONPATH=str(ROOT)).splitlines()
    assert after == before


def test_parts_are_imported_when_they_are_first_used():
    code = (
        "import sys, keras_pibnas as kp;"
        "print(*(part for part in kp.__all__ if 'keras_pibnas.' + part in sys.modules));"
        "print(set(kp.__all__) <= set(dir(kp)), kp.analysis.complexity(kp.build_network('PIBCONV', layers=2)).params)"
    )
    there, later = python(code, PYTHONPATH=str(ROOT)).splitlines()
    assert not set(there.split()) & {"analysis", "callbacks", "data", "interop", "runs"}
    assert later == "True 376534"  # the published block at two layers, docs/paper.md


def test_no_such_part():
    with pytest.raises(AttributeError, match="'keras_pibnas' has no attribute 'nonsense'"):
        _ = kp.nonsense


def test_saved_models_load_after_a_bare_import(tmp_path):
    """A network, a supernet, its optimizer, and the schedule that a halved learning rate leaves in it."""
    network = kp.build_network("PIBCONV", (8, 8, 1), num_classes=2, channels=2, layers=2)
    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
    network.compile(kp.optimizers.SGD(schedules.Scaled(rate, 0.5)), "sparse_categorical_crossentropy")
    network.save(tmp_path / "network.keras")
    supernet = kp.Supernet("pibconv", (8, 8, 1), num_classes=2, channels=2, layers=2, nodes=1)
    supernet.compile()
    supernet.save(tmp_path / "supernet.keras")
    code = (
        "import keras_pibnas, keras; load = keras.saving.load_model;"
        f"network = load({str(tmp_path / 'network.keras')!r}); supernet = load({str(tmp_path / 'supernet.keras')!r});"
        "print(network.count_params(), float(network.optimizer.learning_rate), type(supernet).__name__)"
    )
    # A cosine begins at the whole rate; half of 0.1 is 0.05.
    params, learning_rate, name = python(code, PYTHONPATH=str(ROOT)).split()
    assert (int(params), float(learning_rate), name) == (network.count_params(), pytest.approx(0.05), "Supernet")


def test_import_adds_only_this_package_to_what_keras_and_tensorflow_import():
    code = (
        "import sys, keras, tensorflow, tensorflow.data; before = set(sys.modules); import keras_pibnas;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    added = set(python(code, PYTHONPATH=str(ROOT)).split())
    assert "keras_pibnas" in added
    assert added <= {"keras_pibnas"} | set(sys.stdlib_module_names), added


def test_the_api_reference_builds_without_a_warning(tmp_path):
    python(f"import runpy, sys; sys.argv[1:] = [{str(tmp_path / 'api')!r}];"
           f"runpy.run_path({str(ROOT / 'docs/build_api.py')!r}, run_name='__main__')",
           PYTHONPATH=str(ROOT))  # fmt: skip
    for part in (part for part in kp.__all__ if hasattr(getattr(kp, part), "__path__")):
        page = (tmp_path / f"api/keras_pibnas/{part}.html").read_text()
        for name in getattr(kp, part).__all__:
            is_module = isinstance(getattr(getattr(kp, part), name), type(kp))
            assert (f'href="{part}/{name}.html"' if is_module else f'id="{name}"') in page, (part, name)


@pytest.fixture
def compiled_functions(monkeypatch):
    """Collects the jit_compile argument of every tf.function made in a test."""
    seen, function = [], tf.function

    def spy(*args, jit_compile=None, **kwargs):
        seen.append(jit_compile)
        return function(*args, jit_compile=jit_compile, **kwargs)

    monkeypatch.setattr(tf, "function", spy)
    return seen


def test_no_xla_by_default_in_a_search(compiled_functions):
    data = tf.data.Dataset.from_tensors((tf.zeros((4, 8, 8, 1)), tf.zeros(4, tf.int32)))
    shape = (8, 8, 1)
    supernet = kp.Supernet("pibconv", shape, num_classes=2, channels=2, layers=2, nodes=1, order=1)
    supernet.compile()
    supernet.fit(kp.data.bilevel(data, data), validation_data=data, verbose=0)
    assert compiled_functions and not any(compiled_functions)


def test_no_xla_by_default_in_a_discrete_network(compiled_functions):
    model = kp.build_network("PIBCONV", input_shape=(8, 8, 1), num_classes=2, channels=2, layers=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(tf.zeros((4, 8, 8, 1)), tf.zeros(4, tf.int32), verbose=0)
    assert compiled_functions and not any(compiled_functions)


def test_the_steps_of_contributing_work_and_are_three_lines_each():
    op, space, method = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert op.count("\n") == space.count("\n") == 3
    assert python(
        op
        + space
        + method
        + """
squared = kp.Supernet(space="darts", input_shape=(8, 8, 1), channels=2, layers=2, nodes=1, method="squared")
assert all(abs(rows.sum(axis=1) - 1.0).max() < 1e-6 for rows in squared.op_weights())
print(*supernet.space.primitives)
layer = kp.spaces.build_op("pib_conv_9x9", 4, affine=False)
layer.build((1, 16, 16, 4))
print(layer.count_params())
""",
        PYTHONPATH=str(ROOT),
        TF_CPP_MIN_LOG_LEVEL="3",
    ).splitlines() == ["none skip_connect pib_conv_9x9", str(81 * 4 + 4 * 8 + 81 * 8 + 4 * 4 + 2 * 4)]
