"""`python -m apps.export` in a checkout: the same as `keras-pibnas export`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "export")

if __name__ == "__main__":
    main()
