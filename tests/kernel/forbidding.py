"""Run a command whose system calls of these names fail, as in a sandbox: a real seccomp filter.

python forbidding.py EPERM memfd_create,pidfd_open COMMAND...
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence

__all__ = ["forbid"]

# linux/audit.h and asm/unistd.h of each machine
_MACHINES = {
    "x86_64": (0xC000003E, {"memfd_create": 319, "pidfd_open": 434}),
    "aarch64": (0xC00000B7, {"memfd_create": 279, "pidfd_open": 434}),
}

# linux/prctl.h, linux/seccomp.h and linux/bpf_common.h
_SET_SECCOMP, _SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _MACHINE_AT = 0, 4  # in struct seccomp_data


def forbid(code: int, names: Sequence[str]) -> None:
    """Let these system calls of this process and its children fail with ``code``, for good.

    Raises:
        OSError: The kernel has no such filters.
    """
    machine, numbers = _MACHINES[platform.machine()]
    calls = [numbers[name] for name in names]
    program = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_JUMP_IF_EQUAL, 0, len(calls) + 1, machine),  # else on to the last but one, which allows
        (_LOAD, 0, 0, _NUMBER_AT),
        *((_JUMP_IF_EQUAL, len(calls) - n, 0, call) for n, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | code),
    ]
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    header = struct.pack("HP", len(program), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_SET_SECCOMP, _MODE_FILTER, header, 0, 0)):
        if libc.prctl(*words):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    forbid(getattr(errno, sys.argv[1]), sys.argv[2].split(","))
    os.execvp(sys.argv[3], sys.argv[3:])
