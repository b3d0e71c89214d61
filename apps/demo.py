"""`python -m apps.demo` in a checkout: the same as `keras-pibnas demo`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "demo")

if __name__ == "__main__":
    main()
