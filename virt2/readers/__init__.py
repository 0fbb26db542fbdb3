"""Polling cycles decide which domains a reader has, what these are asked, and what is dispatched of it."""
