"""``python -m ouroloop``: see ``_runner``."""

from ouroloop._runner import main

if __name__ == "__main__":
    main()
