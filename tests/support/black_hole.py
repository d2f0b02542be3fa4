"""A way to a server through which nothing comes any more, once it is a hole: no byte, no reset, no end."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class BlackHole:
    """A TCP proxy on loopback. While it is `open_to` neither old connections nor new ones, bytes are read and lost."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lost: set[socket.socket] = set()
        self._swallows_new = False
        self._ending = False
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self, *, new: bool) -> None:
        """Let nothing through on the connections there are; with `new`, on those to come neither."""
        self._lost |= {each for pair in self._pairs for each in pair}
        self._swallows_new = new

    def let_through(self) -> None:
        """Connections made from now on work; what was swallowed stays lost, and so do its connections."""
        self._swallows_new = False

    def close(self) -> None:
        """Cut everything."""
        self._ending = True
        self._listener.close()
        for each in [each for pair in self._pairs for each in pair]:
            each.close()

    def _accept(self) -> None:
        while not self._ending:
            with suppress(OSError):
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._pairs.append((near, far))
                if self._swallows_new:
                    self._lost |= {near, far}
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with suppress(OSError, ValueError):
            while not self._ending:
                for each in select.select([near, far], [], [], 0.2)[0]:
                    said = each.recv(65536)
                    if each in self._lost:
                        if not said:  # the end of one side is lost as well
                            return
                    elif said:
                        other[each].sendall(said)
                    else:
                        near.close()
                        far.close()
                        return


@contextmanager
def black_hole(host: str, port: int) -> Iterator[BlackHole]:
    """A proxy to `host`:`port` that may become a hole."""
    proxy = BlackHole(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
