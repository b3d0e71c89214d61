"""kp.callbacks holds callbacks; what else stood there has moved, and says where to."""

import inspect

import keras
import pytest

from keras_pibnas import callbacks


def test_every_public_name_is_a_callback():
    for name in callbacks.__all__:
        value = getattr(callbacks, name)
        assert inspect.isclass(value) and issubclass(value, keras.callbacks.Callback), name


@pytest.mark.parametrize("name", callbacks._MOVED)
def test_an_old_name_gives_what_has_moved_with_a_warning(name):
    part = callbacks._MOVED[name]
    with pytest.warns(DeprecationWarning, match=rf"callbacks\.{name} is now {part.__name__}\.{name}"):
        assert getattr(callbacks, name) is getattr(part, name)
    assert name in part.__all__


def test_a_name_that_never_was():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = callbacks.nonsense
