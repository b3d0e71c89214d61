"""`python -m apps.tiny` in a checkout: the same as `keras-pibnas tiny`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "tiny")

if __name__ == "__main__":
    main()
