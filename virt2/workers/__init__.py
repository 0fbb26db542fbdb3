"""What calls libvirt: jobs, pools of workers, and the budget that all pools share."""
