"""`python -m apps.compare` in a checkout: the same as `keras-pibnas compare`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "compare")

if __name__ == "__main__":
    main()
