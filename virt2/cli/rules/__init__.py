"""Rules of ``virt2 check``: each takes what was found out, and gives what is wrong with it. All of it is pure."""
