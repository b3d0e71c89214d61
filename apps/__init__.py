"""Thin modules, so that `python -m apps.search ...` works in a checkout; the commands are in `keras_pibnas.cli`."""
