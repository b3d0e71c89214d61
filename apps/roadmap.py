"""`python -m apps.roadmap` in a checkout: the same as `keras-pibnas roadmap`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "roadmap")

if __name__ == "__main__":
    main()
