"""One module for each page: its path, and how each of its command lines is known to work."""
