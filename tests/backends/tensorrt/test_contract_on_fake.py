"""The contract of every engine, held by this one where there is no GPU."""

from __future__ import annotations

from typing import Any

import pytest

from edge_dx.manifest import Manifest
from tests import tiny
from tests.backends import test_contract as table
from tests.backends.tensorrt import fake
from tests.backends.tensorrt.opening import Install

# The same methods in a class of its own: the original is parametrized over the whole table.
_CONTRACT = {name: value for name, value in vars(table.TestContract).items()
             if not name.startswith("__") and name != "pytestmark"}  # fmt: skip


@pytest.fixture
def bundle() -> tuple[Manifest, dict[str, bytes]]:
    parts = tiny.parts()
    return parts.built(), parts.members


@pytest.fixture(params=fake.VERSIONS)
def _library(request: pytest.FixtureRequest, install: Install) -> None:
    install(request.param)


TestOnFake: Any = pytest.mark.usefixtures("_library")(
    pytest.mark.parametrize("name", ["tensorrt"])(type("TestOnFake", (), dict(_CONTRACT)))
)


def test_the_whole_contract_is_here() -> None:
    assert len([name for name in _CONTRACT if name.startswith("test_")]) >= 14
