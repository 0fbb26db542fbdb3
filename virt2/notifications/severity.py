"""How grave a notification is, in collectd's three steps."""

OKAY = "okay"
WARNING = "warning"
FAILURE = "failure"
