"""Finds which domains there are without waiting for any of them, and keeps how each one is."""
