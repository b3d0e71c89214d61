"""TensorFlow's oneDNN kernels: on wherever keras_pibnas comes first, and said to be off where it does not."""

import os
import subprocess
import sys

import pytest

from keras_pibnas import onednn

pytestmark = pytest.mark.skipif(not onednn.X86, reason="on other processors TensorFlow's own choice stands")


def run(code, **variables):
    environment = {name: value for name, value in os.environ.items() if name != onednn.VARIABLE} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


FOUND = "from keras_pibnas.engine.tensorflow import kernels as native; print(native._onednn())"


@pytest.mark.parametrize("value, after", [(None, "1"), ("0", "0"), ("1", "1")])
def test_importing_the_package_sets_the_variable_where_it_is_not_set_and_nothing_else(value, after):
    code = (
        "import os, keras; before = dict(os.environ); import keras_pibnas; after = dict(os.environ);"
        f"print(before.pop('{onednn.VARIABLE}', None), after.pop('{onednn.VARIABLE}'), before == after)"
    )
    variables = {} if value is None else {onednn.VARIABLE: value}
    assert run(code, **variables)[0] == [str(value), after, "True"]


def test_importing_the_package_switches_them_on():
    assert run(f"import keras_pibnas; {FOUND}")[0] == ["True"]


def test_a_user_may_keep_them_off():
    out, warnings = run(FOUND, TF_ENABLE_ONEDNN_OPTS="0")
    assert out == ["False"] and "keras_pibnas before keras" not in warnings


def test_a_warning_where_tensorflow_came_first():
    # Off before TensorFlow decides, and then unset: as on a processor that has them off by itself.
    first = f"import os, tensorflow; os.environ.pop('{onednn.VARIABLE}')"
    out, warnings = run(f"{first}; {FOUND}", TF_ENABLE_ONEDNN_OPTS="0")
    assert out == ["False"] and "Import keras_pibnas before keras" in warnings
