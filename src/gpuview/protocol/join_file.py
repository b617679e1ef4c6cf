"""What a join file holds: all that a worker needs to find a notebook, and to be let in."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gpuview.protocol.page_messages import Message

__all__ = ["RUN_NAME", "JoinFile"]

RUN_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\Z"
"""What a run may be called; a name of a file."""

_Key = Annotated[str, Meta(pattern=r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")]
"""Z85 of 32 bytes."""
_Endpoint = Annotated[str, Meta(pattern=r"^tcp://[A-Za-z0-9.:\[\]_%-]{1,253}:[0-9]{1,5}\Z")]


class JoinFile(Message, frozen=True, kw_only=True):
    """Lets whoever has it join one run."""

    run: Annotated[str, Meta(pattern=RUN_NAME)]
    endpoints: Annotated[list[_Endpoint], Meta(min_length=1, max_length=32)]
    """As in `JoinRun`."""
    notebook_key: _Key
    """Public."""
    public_key: _Key
    """The key pair of the run's workers."""
    secret_key: _Key

    def __repr__(self) -> str:
        return f"<JoinFile {self.run}>"
