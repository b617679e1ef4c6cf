"""The kernel's handle on the media process.

One process for each kernel. It ends when its pipe does. When it dies by itself it is started again
and told everything anew, and every page makes a new offer: `Engine.epoch` counts the processes. The
user's objects are never touched by that.

Threads: anything here may be called from any thread, and none of it waits for the media process,
except `StreamHandle.stats`. What the media process says is heard on one thread of the engine's own.
"""

from gpuview.engine.engine import Engine
from gpuview.engine.shared import close_shared_engine, prestart, shared_engine
from gpuview.engine.stream import StreamHandle, StreamListener

__all__ = [
    "Engine",
    "StreamHandle",
    "StreamListener",
    "close_shared_engine",
    "prestart",
    "shared_engine",
]
