"""From libvirt's replies to the values that collectd is given: tables and pure functions."""
