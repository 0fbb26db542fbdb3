"""From libvirt's replies to metrics: tables and functions. All of it is pure."""
