"""What a source says although nothing has failed."""

from gpuview.sources.hints import SourceHints


def test_hints_are_told_together_when_one_of_them_changes():
    told: list[str] = []
    hints = SourceHints(told.append)
    hints.set("a", "")
    hints.set("a", "one")
    hints.set("b", "two")
    hints.set("b", "two")
    hints.set("a", "")
    hints.set("b", "")

    assert told == ["one", "one; two", "two", ""]
