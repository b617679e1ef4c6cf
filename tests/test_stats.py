"""The counters as a table."""

from __future__ import annotations

from dataclasses import replace

from gpuview.protocol.stats import EncoderStats, NetworkStats, ViewerStats
from gpuview.stats import StreamStats

VIEWERS = (
    ViewerStats(
        view="a1",
        state="connected",
        codec="H264",
        local="<b>:5000",
        remote="[fd00::9]:5000",
        frames_sent=1234,
        frames_dropped=0,
        loss=0.0123456,
    ),
    ViewerStats(
        view="b2",
        carrier="socket",
        state="connected",
        codec="JPEG",
        local="",
        remote="",
        frames_sent=5,
        frames_dropped=1,
        estimate_bps=12_345_678.9,
    ),
)
STATS = StreamStats(
    frames_pushed=1500,
    frames_shown=1239,
    frames_dropped={"unwatched": 200, "superseded": 61},
    source_ms=None,
    conversion_ms=0.51234,
    copy_ms=None,
    nan=0,
    inf=0,
    minimum=-1.0,
    maximum=255.0,
    viewers=VIEWERS,
    encoders=(EncoderStats(codec="H264", width=640, height=360, frames=9, keyframes=1, nbytes=7),),
    replay_bytes=0,
    network=NetworkStats(port=40000),
    media_pid=42,
)


def test_stats_print_as_tables_with_a_column_for_each_viewer() -> None:
    rows = [line.split() for line in str(STATS).splitlines()]
    assert [row[0] for row in rows if len(row) == 1] == [
        "stream",
        "viewers",
        "encoders",
        "network",
    ]
    for row in (
        ["frames_pushed", "1500"],
        ["frames_dropped", "unwatched", "200,", "superseded", "61"],
        ["source_ms", "-"],
        ["conversion_ms", "0.5123"],
        ["view", "a1", "b2"],
        ["estimate_bps", "0", "12345679"],
        ["local", "<b>:5000", "-"],
        ["port", "40000"],
        ["width", "640"],
    ):
        assert row in rows
    assert max(map(len, str(STATS).splitlines())) < 100


def test_stats_in_html_escape_what_they_contain() -> None:
    html = STATS._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 4
    assert "<th>local</th><td>&lt;b&gt;:5000</td><td>-</td>" in html
    assert "<b>" not in html


def test_stats_without_viewers_say_so() -> None:
    assert "viewers\n  none\n" in str(replace(STATS, viewers=()))
