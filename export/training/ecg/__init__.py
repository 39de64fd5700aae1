"""How the ECG weights were made: the device's own signal path, DS1 alone, patients kept apart."""
