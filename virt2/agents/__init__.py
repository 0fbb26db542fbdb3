"""The capability to ask guests' agents, which has a connection and workers of its own."""
