"""The table, the JSON and the HTML."""

from __future__ import annotations

import json

import pytest

from gpuview.doctor import Check, Report
from gpuview.errors import NetworkError

REPORT = Report(
    (
        Check("settings", "ok", "valid"),
        Check("UDP ports", "fail", "none of 10111 to 10112 can be bound", "shut a kernel down"),
        Check(
            "TURN turn:turn.example.org:3478?transport=tcp-and-more",
            "remark",
            "a name that is too long for its column has a line of its own",
        ),
        Check("CUDA", "skipped", "torch was not imported"),
    )
)


def test_table_is_as_wide_as_the_terminal_and_breaks_at_words() -> None:
    name = "TURN turn:turn.example.org:3478?transport=tcp-and-more"
    indent = " " * 55
    assert REPORT.to_text(100).splitlines() == [
        f"ok       {'settings':<44}  valid",
        f"FAIL     {'UDP ports':<44}  none of 10111 to 10112 can be bound",
        f"{indent}try: shut a kernel down",
        f"remark   {name}",
        f"{indent}a name that is too long for its column has a",
        f"{indent}line of its own",
        f"skipped  {'CUDA':<44}  torch was not imported",
        "",
        "1 of 4 checks failed.",
    ]


@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_no_line_is_longer_than_its_words_force_it(width: int) -> None:
    for line in REPORT.to_text(width).splitlines():
        assert len(line) <= max(width, 55 + 24)


def test_column_of_names_is_no_wider_than_needed() -> None:
    report = Report((Check("CUDA", "ok", "found"),))
    assert report.to_text().splitlines()[0] == "ok       CUDA  found"
    assert repr(report) == report.to_text()


def test_only_failures_make_it_fail() -> None:
    assert not REPORT.ok
    assert REPORT.summary == "1 of 4 checks failed."
    rest = Report(tuple(check for check in REPORT.checks if check.mark != "fail"))
    assert rest.ok
    assert rest.summary == "None of 3 checks failed."
    assert Report(()).ok


def test_json_comes_back_as_it_was() -> None:
    assert json.loads(REPORT.to_json())["ok"] is False
    assert Report.from_json(REPORT.to_json()) == REPORT


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"checks": [{"name": 1}]}', "null"])
def test_other_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a report|Expecting value"):
        Report.from_json(text)


def test_html_holds_everything_and_executes_nothing() -> None:
    check = Check("<script>", "remark", "a & b", "<b>")
    html = Report((check,))._repr_html_()
    assert "&lt;script&gt;" in html
    assert "a &amp; b<br><b>try:</b> &lt;b&gt;" in html
    assert "<script>" not in html


def test_failed_check_takes_the_errors_words() -> None:
    error = NetworkError("it is silent", expected="an answer", fix="start it")
    assert Check.failed("STUN", error) == Check("STUN", "fail", "it is silent", "start it")
