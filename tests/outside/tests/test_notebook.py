"""With a kernel."""

from __future__ import annotations

from glow import plate

from gpuview.testing import Kernel


def test_notebook_shows_the_plate(gpuview_kernel: Kernel) -> None:
    gpuview_kernel.run("from glow import plate\nfrom gpuview import GPUStream")
    gpuview_kernel.run("stream = GPUStream()\nstream.push(plate(7))\ndisplay(stream)")
    with gpuview_kernel.view(gpuview_kernel.stream()) as viewer:
        viewer.assert_shows(plate(7))
