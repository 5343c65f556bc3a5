"""A package, because tests/workspace/ has a test_runs.py too."""
