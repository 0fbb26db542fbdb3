"""What is told of domains and of libvirt, in which words, and to whom."""
