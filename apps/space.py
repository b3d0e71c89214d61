"""`python -m apps.space` in a checkout: the same as `keras-pibnas space`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "space")

if __name__ == "__main__":
    main()
