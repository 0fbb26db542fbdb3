"""Capability: what the guests' agents tell, over a connection and workers of its own."""
