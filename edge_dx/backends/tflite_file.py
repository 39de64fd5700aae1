"""What a TFLite file must be before an interpreter sees it.

The interpreters trust their file. LiteRT checks the web of offsets and little of what it says: a
weight said to lie beyond the end of the file, an operator without its second input or a type that
a kernel does not expect ends the process. tflite_runtime checks nothing: of files cut short or
with some bytes changed, every third killed it. So everything that the older of the two readers
follows is followed here first, and the graph must make sense: indices exist, every tensor is made
once and before it is used, constants are as long as their shapes say.

No check of a file can promise that a kernel takes all that it allows. Files from strangers are
best loaded once in a process of their own.
"""

from __future__ import annotations

MAX_TENSOR_BYTES = 2**30
"""No tensor of a model for the point of care comes near it."""

# Numbers of the schema (tensorflow/compiler/mlir/lite/schema/schema.fbs), which never change.
_WIDTHS = {0: 4.0, 1: 2.0, 2: 4.0, 3: 1.0, 4: 8.0, 6: 1.0, 7: 2.0, 9: 1.0, 17: 0.5}
"""float32, float16, int32, uint8, int64, bool, int16, int8, int4: bytes of one element."""
_FLOATING = (0, 1)
_OPTIONS = {3: None, 8: {}, 17: {0: "i32"}, 30: {0: "i32"}, 111: None, 115: None}
"""Options that hold more than scalars: their vectors, or None where they are not taken."""
_COMPOSITE = 21
