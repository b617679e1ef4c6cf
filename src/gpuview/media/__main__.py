"""The media process: ``gpuview.media FD KERNEL_PID``, started by ``gpuview.engine``.

It talks to the kernel over one pipe, and ends when the kernel closes that pipe or dies.
"""

from __future__ import annotations

import sys

from gpuview.media.ice.without_mdns import leave_out_mdns


def main(argv: list[str]) -> None:
    """Run until the kernel ends."""
    leave_out_mdns()
    from gpuview.media.worker import serve  # which imports aioice

    serve(*map(int, argv))


if __name__ == "__main__":
    main(sys.argv[1:])
