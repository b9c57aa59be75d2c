"""Files of output nodes by content key: bounded, and gone with their jobs."""

from storage.outputs import StoredOutput
from storage.saved_files import SavedFiles

OUTPUT = StoredOutput("7", "image", "image/png", 8, 8, False, "a_00001_.png", "", 9, "", "")


def test_files_are_those_of_the_job_that_saved_them() -> None:
    known = SavedFiles()
    known.keep(("me", "k"), [OUTPUT], 1)
    listed = known.of(("me", "k"))
    known.keep(("me", "k"), listed, 2)  # the second lists them again
    assert [one.job_id for one in known.of(("me", "k"))] == [1]
    assert known.of(("you", "k")) == ()
    known.forget_jobs({2})
    assert known.jobs() == {1}
    known.forget_jobs({1})
    assert (known.of(("me", "k")), known.jobs()) == ((), frozenset())


def test_the_least_recently_used_go_first() -> None:
    known = SavedFiles(most=3)
    known.keep(("me", "a"), [OUTPUT], 1)
    known.keep(("me", "b"), [OUTPUT], 2)
    known.of(("me", "a"))
    known.keep(("me", "c"), [OUTPUT, OUTPUT], 3)
    assert known.jobs() == {1, 3}
    known.keep(("me", "d"), [OUTPUT] * 4, 4)  # more than there is room for
    assert known.of(("me", "d")) == ()
