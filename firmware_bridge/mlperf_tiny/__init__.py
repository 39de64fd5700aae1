"""MLPerf Tiny over a serial line, in both roles.

`Runner` measures any device that speaks the benchmark's protocol; `Dut` answers as one, so that the
official runner can measure what runs here. The protocol is text: commands end in `%`, answers are
lines that end with `m-ready`. It has no checksum, so what was loaded is read back and compared.
"""

from __future__ import annotations

from firmware_bridge.mlperf_tiny.dut import MAX_INPUT, Dut, DutModel
from firmware_bridge.mlperf_tiny.runner import Measured, Runner, Score

__all__ = ["MAX_INPUT", "Dut", "DutModel", "Measured", "Runner", "Score"]
