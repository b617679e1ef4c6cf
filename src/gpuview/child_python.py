"""Starts a module of gpuview in another Python process, which finds what this one has imported.

A kernel's ``sys.path`` is not the one it began with: notebooks append folders to it, such as that
of ``pip install --target``. The child gets all of them. But a user's ``random.py`` or ``av.py``
beside the notebook must not be imported there. So the standard library comes first, then the folder
that gpuview is in, then the installed packages, and then the rest.

This file is also the script that the child runs, so it imports nothing of gpuview.
"""

from __future__ import annotations

import os
import runpy
import site
import sys
from collections.abc import Collection, Sequence

__all__ = ["command", "environment", "search_path"]

_END = "--"  # of the folders
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs ``module`` with this process's packages."""
    # An empty entry is the current folder, which holds the user's own modules.
    used = [folder for folder in sys.path if isinstance(folder, str) and folder]
    folders = [os.path.abspath(folder) for folder in used]
    return [sys.executable or "", "-P", __file__, *folders, _END, module, *arguments]


def environment() -> dict[str, str]:
    """Return this process's environment, without the folders that would hide the standard library.

    They are in `command`.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def search_path(
    own: Sequence[str], parents: Sequence[str], *, home: str, site_folders: Collection[str]
) -> list[str]:
    """Return the child's ``sys.path``. Pure.

    Args:
        own: What it started with.
        parents: That of the process that started it.
        home: The folder that gpuview is in. If another process had to look for it, what is beside
            it belongs to it.
        site_folders: Where packages are installed.
    """
    is_site = [folder in site_folders for folder in own]
    n_standard = is_site.index(True) if True in is_site else len(own)
    homes = [] if home in own else [home]
    return list(dict.fromkeys([*own[:n_standard], *homes, *own[n_standard:], *parents]))


def _run(*words: str) -> None:
    end = words.index(_END)
    folders, module, arguments = words[:end], words[end + 1], words[end + 2 :]
    site_folders = [*site.getsitepackages(), site.getusersitepackages()]
    sys.path[:] = search_path(sys.path, folders, home=_HOME, site_folders=site_folders)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run(*sys.argv[1:])
