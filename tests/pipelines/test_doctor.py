"""What ``glip-engine doctor`` finds on a machine where everything works."""

from __future__ import annotations

import pytest

from pipelines import doctor


@pytest.mark.slow
def test_each_part_is_opened_and_works() -> None:
    found = {one.name: one for one in doctor.examine()}
    assert all(one.ok for one in found.values()), found
    assert "CPUs" in found["ray"].message


def test_the_extras_are_named_once_whether_there_or_not() -> None:
    told = doctor._extras()
    assert [told.count(name) for name in doctor.EXTRAS] == [1] * len(doctor.EXTRAS)


def test_what_cannot_be_opened_is_told_with_the_errors_notes() -> None:
    def broken() -> str:
        error = RuntimeError("Ray does\n not start")
        error.add_note("its logs are in /tmp/ray")
        raise error

    found = doctor._check("ray", broken)
    assert (found.ok, found.message) == (False, "RuntimeError: Ray does not start; its logs are in /tmp/ray")
