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
MAX_SCANS = 100
"""Scans of a progressive JPEG, which has about ten. Each takes one pass over all pixels, however
little is in it: a file of 130 KB with 10,000 of them would keep a decoder busy for a minute.
"""
MAX_FRAMES = 1_000_000
"""Nine hours at 30 frames per second."""
MAX_HEADER_VALUE_BYTES = 2**20
"""A header value that is looked at and longer than this is damage or an attack."""
MAX_SEQUENCE_BYTES = 64 * 2**20
"""The same for a sequence: what an enhanced object says per frame takes about 1 KB for each."""
MAX_ELEMENTS = 400_000
"""Elements of a DICOM file, those in sequences included; walking them takes about a second."""
MAX_NESTING = 24
"""Sequences within sequences. Structured reports nest to about ten; pydicom recurses."""
MAX_INFLATED_BYTES = 128 * 2**20
"""A deflated data set that grows beyond this is refused."""
MAX_INFLATION = 200
"""Nor may it grow to more times its size; a picture deflates to a half, a blank one to 1 %."""
MAX_VOLUME_BYTES = 4 * 2**30
"""Of a series, in float32: 4,000 slices of 512 × 512."""
