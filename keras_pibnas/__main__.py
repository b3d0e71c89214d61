"""`python -m keras_pibnas search ...`: the same as `keras-pibnas search ...`."""

from keras_pibnas.cli import main

if __name__ == "__main__":
    main()
