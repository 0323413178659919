"""What one test must not leave to the next: files go to two workers, in another order on every machine."""

import hypothesis
import matplotlib
import pytest

from clipkit.dealing import deal_among
from tests import docshapes

docshapes.install()  # before a technique is imported
hypothesis.settings.register_profile("book", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("book")

DEFAULTS = matplotlib.rcParamsDefault.copy()


@pytest.fixture(autouse=True)
def as_after_a_fresh_start():
    """`lab.start` gives the whole process the book's style and the seeds of its run; the next test starts with neither."""
    deal_among([])
    with matplotlib.rc_context(DEFAULTS):
        yield
