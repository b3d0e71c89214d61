"""`python -m apps.genotypes` in a checkout: the same as `keras-pibnas genotypes`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "genotypes")

if __name__ == "__main__":
    main()
