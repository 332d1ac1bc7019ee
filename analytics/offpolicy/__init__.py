"""What another policy would have done, estimated from the log of the one that served. Pure: arrays in, numbers out.

``logged`` is the log as arrays, ``direct`` a model of the outcomes, ``estimating`` the estimates with their intervals, ``gate``
what may be promised on them and how long to log until it may.
"""
