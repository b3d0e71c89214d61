"""`python -m apps.complexity` in a checkout: the same as `keras-pibnas complexity`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "complexity")

if __name__ == "__main__":
    main()
