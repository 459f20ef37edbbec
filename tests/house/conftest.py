"""Tests of the checkout's scripts and benchmarks. Distributions run the tests of what they build, and have neither."""

from pathlib import Path

if not Path(__file__).parents[2].joinpath("scripts").is_dir():
    collect_ignore_glob = ["test_*.py"]
