"""A shared file system that is read-only, for the notebook or for the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuview.testing.errors import CellError
from gpuview.testing.kernel import Kernel
from tests.cluster.jobs import starting_jobs

# It mounts, which root may.
pytestmark = [pytest.mark.kernel, pytest.mark.network]

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def with_read_only(folder: Path) -> tuple[str, ...]:
    """Return what to put before a command, for which the folder is read-only then."""
    return ("unshare", "--mount", "sh", "-c", READ_ONLY, str(folder))


def test_a_folder_that_is_read_only_is_named_in_the_notebook_and_enough_for_the_job(
    tmp_path: Path,
) -> None:
    home, shared = tmp_path / "home", tmp_path / "shared"
    home.mkdir()
    shared.mkdir()
    with (
        Kernel(prefix=with_read_only(home), env={"HOME": str(home)}) as kernel,
        starting_jobs(tmp_path) as start_job,
    ):
        kernel.run("from gpuview import GPUStream\nstream = GPUStream.remote('run1')")
        with pytest.raises(CellError, match=r"cannot write the join file .*: Read-only file"):
            kernel.run("stream.join()")
        path = str(shared / "run1.json")
        job = start_job(
            env=kernel.evaluate(f"stream.join({path!r})"), prefix=with_read_only(shared)
        )
        kernel.wait_until("stream.status['state'] == 'live'", timeout_s=120.0)
        assert "WARNING" not in job.log
