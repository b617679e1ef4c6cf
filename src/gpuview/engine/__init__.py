"""The kernel's handle on the media process.

One process for each kernel. It ends when its pipe closes. When it dies by itself, it is started
again and told everything anew, and every page makes a new offer: `Engine.epoch` counts the
processes. The user's objects do not notice.

Threads: everything here may be called from any thread. Only `StreamHandle.stats` waits for the
media process. The engine reads that process's messages on a thread of its own.
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
