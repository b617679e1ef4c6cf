"""Streams whose frames are made on other machines: a worker's side, and the notebook's.

A worker is a process that calls `gpuview.publish`: a rank of a training job, or a script. It finds
the notebook by a join file, which `GPUStream.remote` writes, or by an actor of Ray's. Its frames
are encoded by its own media process, and the two media processes talk with each other; nothing here
sends a frame.
"""
