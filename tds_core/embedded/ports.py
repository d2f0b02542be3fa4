"""Free ports on loopback."""

import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether nobody listens on the port, by trying to."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(memory: Path) -> int:
    """Return the port remembered in a file if it is still free, else a new one, remembered for next time."""
    try:
        remembered = int(memory.read_text())
    except (OSError, ValueError):
        remembered = 0
    if remembered and is_free(remembered):
        return remembered
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    memory.write_text(f"{port}\n")
    return port
