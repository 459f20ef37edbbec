"""The servers under test, each a program that takes ``--loop NAME`` and prints its port."""
