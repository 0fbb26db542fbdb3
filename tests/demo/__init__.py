"""What scripts/run shows: virt2 at work in a real collectd, as a table of what it writes.

story     pure: what goes wrong in the lab, when, and in which words it is said
stage     the lab or the host, its collectds, and the hands that do and undo what the story wants
overview  pure: from what collectd wrote to a row for each domain; `ages` the same of two plugins side by side
table     rows as a table that fits a width
plain     a view for pipes and files: line after line
live      a view for terminals: one table in place, in colour
signals   Ctrl-C and new sizes of the terminal, as something to wait for
show      the loop that all of these are used by
"""
