"""Doors: libvirt, its admin interface, /proc and the host's network devices. One module for each."""
