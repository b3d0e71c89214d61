"""`python -m apps.profile` in a checkout: the same as `keras-pibnas profile`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "profile")

if __name__ == "__main__":
    main()
