"""`python -m apps.gradcam` in a checkout: the same as `keras-pibnas gradcam`."""

from functools import partial

from keras_pibnas import cli

main = partial(cli.run, "gradcam")

if __name__ == "__main__":
    main()
