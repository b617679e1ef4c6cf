"""Viewers that cost next to nothing, in a process of their own.

`Crowd` starts this module as a process. The viewers in it do ICE, DTLS and SRTP and drop the video;
their signalling passes through pipes, one JSON object a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from gpuview.testing.stream import StreamProxy
from gpuview.testing.viewer import HeadlessViewer
from gpuview.testing.waiting import Changing
from tests.bridge import Bridge

__all__ = ["Crowd"]

_ROOT = Path(__file__).parents[2]


def main() -> None:
    """Watch with as many viewers as the argument says, until standard input ends."""
    stream = StreamProxy("crowd", json.loads(sys.stdin.readline()), send=_say, changing=Changing())
    viewers = [
        HeadlessViewer(stream, codecs=("H264",), is_decoding=False) for _ in range(int(sys.argv[1]))
    ]
    for line in sys.stdin:
        news = json.loads(line)
        stream.receive({"method": "update", "state": news["traits"]})
        for message in news["messages"]:
            stream.receive({"method": "custom", "content": message})
    for viewer in viewers:
        viewer.close()


def _say(data: dict[str, Any]) -> None:
    if data["method"] == "custom":
        said = [{"custom": data["content"]}]
    else:
        said = [{"trait": name, "value": value} for name, value in data["state"].items()]
    # One write for each line, as each viewer speaks from a thread of its own.
    for each in said:
        sys.stdout.write(json.dumps(each) + "\n")
    sys.stdout.flush()


class Crowd:
    """A running process with viewers of one stream.

    Args:
        stream: The stream to watch.
        size: How many viewers.
    """

    def __init__(self, stream: StreamProxy, size: int) -> None:
        self._bridge = Bridge(stream)
        self._lock = threading.Lock()  # one line at a time, in order
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kernel.crowd", str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        self._write(self._bridge.traits)
        self._reader = threading.Thread(target=self._read, name="gpuview-crowd")
        self._reader.start()
        self._unlisten = stream.listen(self._pass_on)

    def close(self) -> None:
        """Have every viewer say bye, and end the process."""
        self._unlisten()
        with self._lock:
            self._process.stdin.close()
        self._reader.join()
        self._process.stdout.close()
        assert self._process.wait() == 0

    def _pass_on(self) -> None:
        with self._lock:
            if not self._process.stdin.closed and (news := self._bridge.take_news()) is not None:
                self._write(news)

    def _write(self, content: object) -> None:
        self._process.stdin.write(json.dumps(content) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._bridge.say(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if __name__ == "__main__":
    main()
