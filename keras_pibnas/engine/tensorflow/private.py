"""What the engine uses of TensorFlow that is not public, each with the public way beside it.

Seen in TensorFlow 2.18 to 2.21.
"""

import contextlib

try:
    from tensorflow.python.eager import record
except ImportError:  # moved: gradients are declared by tf.custom_gradient everywhere, in a third more nodes
    record = None


def can_record() -> bool:
    """Whether gradients can be recorded on tapes without nodes of the graph."""
    return record is not None


def recorded(name, function, tensors, watched=lambda outputs: outputs):
    """What function() gives, (outputs, gradient), is recorded on tapes; returns the outputs.

    Args: gradient: (*cotangents) -> gradients by the tensors; watched: of the outputs, those that cotangents are for.
    Only where `can_record`.
    """
    with record.stop_recording():
        outputs, gradient = function()
    record.record_operation(name, watched(outputs), list(tensors), gradient)
    return outputs


def unrecorded():
    """Inside, tapes see nothing: TensorFlow does not prepare functions that are called for gradients of its own."""
    return contextlib.nullcontext() if record is None else record.stop_recording()
