"""The command ``virt2``: explains on a terminal what the plugin does on this host, and what is wrong with its setup."""
