"""What virt2 costs beside collectd's C plugin and beside a bare loop over the same calls; see README.md here."""
