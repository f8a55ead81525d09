"""Large pages: asked for where they fit, and nothing else happens."""

import ctypes
import mmap

from interlock.server.pages import places, use_large_pages

LARGE = 2 * 1024 * 1024
MAPS = """\
00400000-00420000 r--p 00000000 fe:00 1234                               /usr/bin/python
00a00000-00e00000 rw-p 00000000 fe:00 1234                               /usr/bin/python
01000000-01500000 rw-p 00000000 00:00 0                                  [heap]
7f0000100000-7f0000700000 rw-p 00000000 00:00 0 \n\
7f0000800000-7f0000a00000 rw-p 00000000 00:00 0
7f0000a00000-7f0001000000 r--p 00000000 00:00 0
7f0001000000-7f0001600000 rw-s 00000000 00:00 0
7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0                          [stack]
7ffd01000000-7ffd01800000 rw-p 00000000 00:01 77                         /memfd:x (deleted)
"""


def test_large_pages_are_asked_for_where_memory_is_private_writable_and_of_no_file():
    assert [hex(place) for place in places(MAPS)] == [
        "0x1000000",
        "0x1200000",
        "0x7f0000200000",
        "0x7f0000400000",
        "0x7f0000800000",
    ]


def test_nothing_fits_into_less_than_a_large_page():
    assert list(places(f"{LARGE + 1:x}-{3 * LARGE:x} rw-p 00000000 00:00 0\n")) == [2 * LARGE]
    assert list(places(f"{LARGE + 1:x}-{3 * LARGE - 1:x} rw-p 00000000 00:00 0\n")) == []


def test_memory_holds_afterwards_what_it_held_before():
    with mmap.mmap(-1, 4 * LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for place in range(0, len(memory), 4096):
            memory[place : place + 8] = place.to_bytes(8, "big")
        held = (ctypes.c_char * 1).from_buffer(memory)
        assert use_large_pages() >= 0
        del held
        assert all(
            memory[place : place + 8] == place.to_bytes(8, "big") for place in range(0, len(memory), 4096)
        )
