"""A domain's XML read: devices, storage, tag, labels, what is left out. Pure."""
