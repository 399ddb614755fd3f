"""What the pytest plugin says of faults that a test has scripted and that never happened."""

from __future__ import annotations


class UnusedFaultWarning(UserWarning):
    """A test that passed has scripted a fault that did not happen, or not as often as it said: it may not test what it means.

    The pytest plugin gives it at the test's end. Where a fault may or may not happen, `fake.faults.clear()` ends the matter;
    pytest's `filterwarnings` silences it, or makes it an error.
    """
