"""Which domains there are, found without waiting for any of them, and how each one is."""
