"""`python -m apps.plot` in a checkout: the same as `keras-pibnas plot`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "plot")

if __name__ == "__main__":
    main()
