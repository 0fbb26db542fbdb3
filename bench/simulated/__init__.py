"""A host with more domains than memory bears: a libvirtd that takes its time as the real one does, and no guests.

What is simulated is libvirtd with its QEMUs' monitors (`libvirtd`), and the door to it (`door`), which stands in for
`virt2.sources.hypervisor`. Its calls take the times that were recorded from a real libvirtd (`record`, `latencies`).
What virt2 reads off the host is real (`qemus`): a process and a pid file for each domain, tap devices. So is the admin
socket. All of it lives in namespaces of its own (`host`), where virt2 (`subject`) or a bare loop over the same calls
(`bare`) reads it.
"""
