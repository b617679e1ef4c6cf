"""The kernel's handle on the media process.

Each kernel has one process, which ends when its pipe closes. If it dies, the engine starts another,
opens all streams in it again, and every page makes a new offer: `Engine.epoch` counts the
processes. The user's objects stay valid.

Threads: everything here may be called from any thread. Only `StreamHandle.stats` waits for the
media process. The engine reads that process's messages on a thread of its own.
"""
