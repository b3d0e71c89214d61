"""`python -m apps.watch` in a checkout: the same as `keras-pibnas watch`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "watch")

if __name__ == "__main__":
    main()
