"""The command lines of the documentation, and how each of them is known to work.

`collect` finds them in the pages. Each page has a table in `tests.commands.pages` that says of every line on it how it
is run: in a lab by tests/integration/test_commands_of_docs.py (`Lab`), by another test that names it or reads its page
(`Elsewhere`), or not at all, with the reason (`Never`). tests/unit/test_commands_of_docs.py compares the two, so a new
line in a page fails until somebody says how it is run.

To register the lines of a new page, such as docs/fleet.md, add a module to `tests/commands/pages` with `PAGE` and
`LINES`. Nothing else has to be changed.
"""
