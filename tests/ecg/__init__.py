import pytest

pytest.importorskip("scipy.signal", reason="the extra ecg (scipy) is not installed")
