"""What becomes of a system on which virt2 is installed, upgraded, removed and purged as a package.

`python3 -m tests.packages CHAPTER ...` runs in an empty Debian that `scripts/fresh` makes, because it changes the
system it runs on. It needs nothing but that system's Python. tests/integration/test_packages.py has it run.
"""
