"""Receiving: the body of an answer, within a time and a size; none may keep a worker for longer than it is worth."""

import time

import requests
from urllib3.exceptions import HTTPError

#: What can be taken from the connection at once is: a page is a few of these.
PIECE_BYTES = 1 << 18
#: A page of 200 documents is a few megabytes at most.
MOST_BYTES = 64 << 20


class TooLargeError(requests.RequestException):
    """The body is larger than 64 MiB."""


def receive(answer: requests.Response, *, within_seconds: float) -> bytes:
    """The whole body of `answer`, which was asked for with `stream=True`.

    Raises `requests.RequestException`: what the connection raised, `Timeout` when the body has not ended within the
    time (a read timeout only notices that nothing comes at all), and `TooLargeError`.
    """
    ends_at = time.monotonic() + within_seconds
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := answer.raw.read1(PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise TooLargeError(f"the answer is larger than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > ends_at:
                raise requests.Timeout(f"the answer did not end within {within_seconds:g} s")
    except HTTPError as error:
        answer.close()
        raise requests.ConnectionError(f"the answer broke off ({type(error).__name__})") from error
    except requests.RequestException:
        answer.close()
        raise
    return b"".join(pieces)


#: What became of a call by the words in its error, of which no more may be shown: they may hold what was sent.
_CAUSES = {
    "refused": "connection refused",
    "resolve": "its name is not known here",
    "Name or service": "its name is not known here",
    "CERTIFICATE": "its certificate is not trusted here",
    "ProxyError": "the proxy of HTTPS_PROXY did not let us through",
}


def silence(url: str, error: requests.RequestException) -> str:
    """What to say of an address that did not answer: which, and as far as it is known why."""
    words = f"{type(error).__name__} {error}"
    cause = next((says for word, says in _CAUSES.items() if word in words), "")
    return f"{url}: no answer ({type(error).__name__}{f': {cause}' if cause else ''})"
