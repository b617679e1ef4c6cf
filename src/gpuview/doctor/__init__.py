"""Finds problems in the settings, the network around this machine, and the machine itself.

``gpuview doctor`` on the command line, ``GPUStream.doctor()`` in a cell. `examination` runs all
checks, and each check has a file with its name. They need av and aioice, which a kernel never
imports, so a cell runs the doctor in a process of its own.
"""

from gpuview.doctor.child_process import run_in_subprocess
from gpuview.doctor.report import Check, Report

__all__ = ["Check", "Report", "run_in_subprocess"]
