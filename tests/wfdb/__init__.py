"""Tests of the WFDB files."""
