"""Towards collectd: identities, values and log lines as collectd takes them."""
