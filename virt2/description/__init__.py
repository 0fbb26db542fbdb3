"""Reads a domain's XML: devices, storage, tag, labels, and what is not reported. All of it is pure."""
