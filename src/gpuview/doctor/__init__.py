"""Says what is wrong: with the settings, the network around this machine, and its packages.

``gpuview doctor`` on the command line, ``GPUStream.doctor()`` in a cell. `examination` asks all
questions at once and needs av and aioice, which a kernel's process never imports; so a cell has it
done by a process of its own.
"""

from gpuview.doctor.child_process import run_in_subprocess
from gpuview.doctor.report import Check, Report

__all__ = ["Check", "Report", "run_in_subprocess"]
