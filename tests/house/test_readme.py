"""The README's tables are what the results that are kept say."""

from pathlib import Path

from bench import readme

README = Path(__file__).parents[2] / "README.md"


def test_the_tables_are_those_of_the_results() -> None:
    text = README.read_text()
    for table in readme.tables():
        assert table in text
