"""What is refused before any room is made for it. One place, so that it can be read at a glance."""

from __future__ import annotations

MAX_FILE_BYTES = 512 * 2**20
"""Pictures and single images in larger files are refused unread."""
MAX_CINE_BYTES = 16 * 2**30
"""Larger files of many frames are refused; their frames are read one by one."""
HELD_BYTES = 32 * 2**20
"""DICOM files up to this size are held in memory, larger ones are read frame by frame."""
MAX_PIXELS = 64 * 10**6
"""Images with more pixels are refused before they are decoded (a 43 cm detector has 18 million)."""
MAX_FRAME_BYTES = 256 * 2**20
"""The same in bytes of one frame: rows × columns × samples × bytes per sample."""
MAX_FRAMES = 1_000_000
"""Nine hours at 30 frames per second."""
MAX_HEADER_VALUE_BYTES = 2**20
"""A header value that is looked at and longer than this is damage or an attack."""
MAX_ELEMENTS = 1_000_000
"""Elements of a DICOM file, those in sequences included."""
MAX_NESTING = 24
"""Sequences within sequences. Structured reports nest to about ten; pydicom recurses."""
MAX_INFLATED_BYTES = 128 * 2**20
"""A deflated data set that grows beyond this is refused."""
MAX_INFLATION = 200
"""Nor may it grow to more times its size; a picture deflates to a half, a blank one to 1 %."""
