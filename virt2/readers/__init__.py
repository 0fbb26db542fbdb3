"""Polling cycles: which domains a reader has, what they are asked, and what is dispatched of it."""
