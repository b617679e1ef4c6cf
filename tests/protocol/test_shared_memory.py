"""Two processes share memory, whatever the Python and the sandbox lack."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest

from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.ring import RingReader, RingWriter
from gpuview.protocol.shared_memory import allocate


def refuse(code: int) -> object:
    def refusing(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refusing


def name_of(fd: int) -> str:
    name = os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    return name


def test_memory_is_a_memfd_also_in_a_python_without_the_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert name_of(allocate(4096)).startswith("/memfd:gpuview")
    monkeypatch.delattr(os, "memfd_create")
    assert name_of(allocate(4096)).startswith("/memfd:gpuview")


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_ring_is_in_a_deleted_file_where_a_sandbox_forbids_memfds(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "memfd_create", refuse(code))
    with RingWriter.create(48) as writer, RingReader.attach(os.dup(writer.fd)) as reader:
        name = os.readlink(f"/proc/self/fd/{writer.fd}")
        assert name.startswith("/dev/shm/")
        assert name.endswith(" (deleted)")
        writer.begin(48)[:] = bytes(range(48))
        writer.publish(PixelFormat.RGB24, 4, 4)
        slot = reader.take()
        assert slot is not None
        assert bytes(slot.data) == bytes(range(48))


def test_file_that_does_not_fit_is_refused_and_not_found_out_by_a_bus_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "memfd_create", refuse(errno.ENOSYS))
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match=r"/dev/shm: No space left.* file: No space") as caught:
        allocate(4096)
    assert caught.value.errno == errno.ENOSPC


def test_error_names_everything_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "memfd_create", refuse(errno.ENOSYS))
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse(errno.EROFS))
    with pytest.raises(OSError, match=r"memfd_create: .*Function not .*/dev/shm: Read-only"):
        allocate(4096)


def test_used_up_descriptors_are_no_reason_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "memfd_create", refuse(errno.EMFILE))
    with pytest.raises(OSError, match=r"^.Errno 24. Too many open files$"):
        allocate(4096)
