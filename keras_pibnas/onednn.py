"""Switches TensorFlow's oneDNN kernels on. It has to be imported before TensorFlow, which then decides for good.

TensorFlow leaves them off on x86 processors without AVX-512, and a search takes twice as long.
"""

import os
import platform

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
X86 = platform.machine() in ("x86_64", "AMD64")

if X86:
    os.environ.setdefault(VARIABLE, "1")


def why_missing():
    """Why oneDNN might be off, for a warning; None where nothing can be done about it, or the user wants it so."""
    if not X86 or os.environ.get(VARIABLE) == "0":
        return None
    return (
        "TensorFlow runs without its oneDNN kernels, and a search takes twice as long: TensorFlow was "
        f"imported before keras_pibnas. Import keras_pibnas before keras, or set {VARIABLE}=1 "
        f"({VARIABLE}=0 keeps the kernels off, without this warning)."
    )
