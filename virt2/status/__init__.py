"""What an operator may ask a running virt2: the answers, their form on the wire, and the socket."""
