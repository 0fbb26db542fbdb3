"""The settings: how collectd's configuration is read, and what each option accepts. All of it is pure."""
