"""Streams whose frames are encoded on another machine: both media processes' ends, over ZeroMQ.

Nothing of it is imported before a kernel has a use for it.
"""
