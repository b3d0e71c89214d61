"""`python -m apps.sweep` in a checkout: the same as `keras-pibnas sweep`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "sweep")

if __name__ == "__main__":
    main()
