"""Damaged files, and what a reader may do with them: read them, or refuse in one sentence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from truez.catalogs.catalog import Catalog

LONGEST_MESSAGE = 300
#: Words of libraries and of Python that are no words for a user.
FOREIGN = re.compile(
    r"traceback|arrow|numpy|pandas|h5py|yaml|codec|dtype|<class|object at 0x|NoneType|errno"
    r"|hdf5 error|unicode string|list index|invalid literal|subscriptable",
    re.IGNORECASE,
)

_places = st.integers(0, 2**24)  # modulo the length of the data


@st.composite
def _edits(draw: Any) -> Callable[[bytes], bytes]:
    """One change of the bytes of a file."""
    kind = draw(
        st.sampled_from(["flip", "insert", "delete", "cut", "repeat", "swap", "lines", "zeros"])
    )
    one, two = draw(_places), draw(_places)
    few = draw(st.integers(1, 64))
    new = draw(st.binary(min_size=1, max_size=8))

    def change(data: bytes) -> bytes:
        if not data:
            return new
        start, other = one % len(data), two % len(data)
        stop = min(start + few, len(data))
        if kind == "flip":
            return data[:start] + bytes([data[start] ^ (new[0] or 1)]) + data[start + 1 :]
        if kind == "insert":
            return data[:start] + new + data[start:]
        if kind == "delete":
            return data[:start] + data[stop:]
        if kind == "cut":
            return data[:start]
        if kind == "repeat":
            return data[:stop] + data[start:]
        if kind == "zeros":
            return data[:start] + bytes(stop - start) + data[stop:]
        if kind == "swap":
            first, last = sorted((start, other))
            middle = data[first + few : last]
            return (
                data[:first]
                + data[last : last + few]
                + middle
                + data[first : first + few]
                + (data[last + few :])
            )
        lines = data.split(b"\n")
        i, j = one % len(lines), two % len(lines)
        lines[i], lines[j] = lines[j], lines[i]
        return b"\n".join(lines)

    return change


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes of a file with one to four changes.

    They are flips, insertions, deletions, truncations, repetitions and exchanges of bytes and
    lines.
    """

    def changed(edits: list[Callable[[bytes], bytes]]) -> bytes:
        result = data
        for edit in edits:
            result = edit(result)
        return result

    return st.lists(_edits(), min_size=1, max_size=4).map(changed)


def noise(*starts: bytes) -> st.SearchStrategy[bytes]:
    """Random bytes behind one of the ``starts``, such as the signature of a format."""
    return st.builds(bytes.__add__, st.sampled_from(starts or (b"",)), st.binary(max_size=300))


def read_or_refused(path: Path, read: Callable[[Path], Any] = Catalog.read) -> str:
    """Empty where the file is read, else the sentence that refuses it, which is checked.

    Any other exception than a ValueError, and any warning, is a failure of the test.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = read(path)
        except ValueError as error:
            # The name of a test's folder is longer than that of a user's.
            message = str(error).replace(str(path), path.name)
            assert len(message) < LONGEST_MESSAGE, message
            assert message.isprintable(), repr(message)
            assert not FOREIGN.search(message), message
            assert message.strip(), "no message"
            return message
    assert isinstance(found, Catalog)
    assert len(found)
    return ""
