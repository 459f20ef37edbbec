"""Random asyncio programs, run on stock asyncio and on Ouroloop: the traces must be equal.

A program is data (``generate.py`` draws it, JSON keeps it), ``operations`` says what each of its steps does,
``execute.py`` runs it on one side and returns the trace, ``compare.py`` puts the two sides next to each other.
``python -m tests.differential --help`` hunts by hand.
"""
