"""`python -m apps.search` in a checkout: the same as `keras-pibnas search`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "search")

if __name__ == "__main__":
    main()
