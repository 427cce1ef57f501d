"""ser2net in front of a pty, in raw TCP on a free port."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.process import Child, spawn

_LISTENING = "0A"  # the state of a socket in /proc/net/tcp
_START_SECONDS = 30.0
_CONFIGURATION = """\
%YAML 1.1
---
connection: &board
  accepter: tcp(nodelay=true),127.0.0.1,{port}
  connector: serialdev(nouucplock=true),{path},115200n81,local
"""


@contextmanager
def ser2net(path: str, folder: Path, *, port: int = 0) -> Iterator[int]:
    """The TCP port on which ser2net serves the pty at `path`; without `port` any free one."""
    configuration = folder / f"ser2net-{Path(path).name}.yaml"
    configuration.write_text(_CONFIGURATION.format(path=path, port=port))
    program = shutil.which("ser2net", path=f"{os.environ['PATH']}:/usr/sbin")
    with spawn([program or "ser2net", "-n", "-d", "-c", str(configuration)]) as child:
        yield listening_port(child)


def listening_port(child: Child) -> int:
    """The TCP port on which a child listens, as soon as it does: nobody can take it meanwhile."""
    deadline = time.monotonic() + _START_SECONDS
    while child.alive() and time.monotonic() < deadline:
        sockets = _sockets(child.pid)
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in sockets and fields[3] == _LISTENING:
                return int(fields[1].rpartition(":")[2], 16)
        time.sleep(0.02)
    raise AssertionError(f"{child.argv[0]} does not listen ({child.status()}): {child.log_tail()}")


def _sockets(pid: int) -> set[str]:
    """The inodes of the sockets that a process has."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # closed meanwhile
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
