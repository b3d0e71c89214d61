"""`python -m apps.train` in a checkout: the same as `keras-pibnas train`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "train")

if __name__ == "__main__":
    main()
