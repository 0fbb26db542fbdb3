"""Notifications about domains and libvirt: when they are sent, and in which words."""
