"""What is given to collectd: identities, values and log lines."""
