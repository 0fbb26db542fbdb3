"""Everything that can go wrong, at random and repeatable, with every point that was written looked at afterwards.

`scripts/chaos --minutes N --seed S` runs it. The way of a run:

    schedule      pure: a seed becomes a list of actions, each with begin, end, kind and targets
    faults        does and undoes them in a lab; `population` keeps the guests, `journal` notes what was really done
    witness       samples the kernel and the QEMUs all the time (`qmp` asks these), `watch` libvirtd and collectd
    expectations  pure: from what was done, which series must be there when, and which must not
    truth         pure: between which two values a value of some time must lie
    invariants    pure: looks at all that was written, and at the log
    report        puts what was found into words
"""
