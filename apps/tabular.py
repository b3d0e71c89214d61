"""`python -m apps.tabular` in a checkout: the same as `keras-pibnas tabular`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "tabular")

if __name__ == "__main__":
    main()
