"""Records that the other wings hand to each other. Pure, and imports nothing."""
