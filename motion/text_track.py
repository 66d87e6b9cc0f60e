"""Subtitles as a track of a film's file: a text file of them, in the form that the container holds, copied beside the pictures and the sound.

PyAV opens encoders of subtitles only in its newer versions; all of them copy a track from one file into another.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from struct import pack

import av

from .captions import Cue, milliseconds, to_srt, to_vtt

_LONGEST = 0xFFFF  # bytes of a sample of timed text
_PAUSE = b"\0\0"  # a sample of no text
_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # what a writer says of the file itself
_FONT_SIZE = 16  # what FFmpeg takes for no size at all


def add_track(film: Path, target: Path, cues: Sequence[Cue]) -> None:
    """Writes the film again, bit for bit the same pictures and sound and all its metadata, with a track of subtitles that players show by themselves.

    Raises: ValueError for a kind of file that holds none, by `target`'s suffix.
    """
    kind = target.suffix.lower()
    if kind in (".mp4", ".m4v", ".mov"):
        text, form, options = timed_text(cues), "mp4", {"movflags": "use_metadata_tags+faststart"}
    elif kind == ".mkv":
        text, form, options = to_srt(cues).encode(), "srt", {}
    elif kind == ".webm":
        text, form, options = to_vtt(cues).encode(), "webvtt", {}
    else:
        raise ValueError(f"a {kind or 'nameless'} file cannot hold subtitles. Save the film as mp4, or choose mode 'burnt in'.")
    with av.open(str(film)) as pictures, av.open(io.BytesIO(text), format=form) as subtitles, av.open(str(target), "w", options=options) as output:
        for key, value in pictures.metadata.items():
            if key not in _OF_THE_FILE:
                output.metadata[key] = value
        tracks = {stream: output.add_stream_from_template(stream, opaque=True) for source in (pictures, subtitles) for stream in source.streams}
        # In order of time: a muxer holds back what it gets of one track until the others have come as far.
        for packet in heapq.merge(*(_packets(source) for source in (pictures, subtitles)), key=_time):
            packet.stream = tracks[packet.stream]
            output.mux(packet)


def timed_text(cues: Sequence[Cue]) -> bytes:
    """An MP4 file of nothing but a text track (ISO 14496-12; 3GPP TS 26.245, "tx3g"), in milliseconds: centred at the bottom, white.

    Raises: ValueError for a text that is too long for it.
    """
    samples: list[tuple[int, bytes]] = []  # (duration, text with its length ahead); an empty text where nothing is shown
    now = 0
    for cue in cues:
        start, end, text = milliseconds(cue.start), milliseconds(cue.end), cue.text.encode()
        if len(text) > _LONGEST:
            raise ValueError(f"a text of {len(cue.text)} characters is too long for subtitles: {cue.text[:60]}… Shorten it.")
        if start > now:
            samples.append((start - now, _PAUSE))
        samples.append((end - start, pack(">H", len(text)) + text))
        now = end
    head = _box(b"ftyp", b"isom", pack(">I", 0x200), b"isom")
    media = b"".join(sample for _, sample in samples)
    table = _box(
        b"stbl",
        _table(b"stsd", [_text_entry()]),
        _table(b"stts", [pack(">II", 1, duration) for duration, _ in samples]),
        _table(b"stsc", [pack(">III", 1, len(samples), 1)]),  # one chunk
        _box(b"stsz", pack(">III", 0, 0, len(samples)), *(pack(">I", len(sample)) for _, sample in samples)),
        _table(b"stco", [pack(">I", len(head) + 8)]),
    )
    data_here = _box(b"dinf", _table(b"dref", [_box(b"url ", pack(">I", 1))]))
    media_head = _box(b"mdhd", pack(">IIIIIHH", 0, 0, 0, 1000, now, 0x55C4, 0))  # 0x55c4: language "und"
    handler = _box(b"hdlr", pack(">II4s12x", 0, 0, b"sbtl"), b"Subtitles\0")
    matrix = pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    track = _box(
        b"trak",
        _box(b"tkhd", pack(">IIIIII8xhhhH", 3, 0, 0, 1, 0, now, 0, 0, 0, 0), matrix, pack(">II", 0, 0)),  # 3: enabled
        _box(b"mdia", media_head, handler, _box(b"minf", _box(b"nmhd", pack(">I", 0)), data_here, table)),
    )
    movie_head = _box(b"mvhd", pack(">IIIIIIH10x", 0, 0, 0, 1000, now, 0x10000, 0x100), matrix, pack(">24xI", 2))
    return head + _box(b"mdat", media) + _box(b"moov", movie_head, track)


def _packets(source):
    """All that hold something: the last one of a track is empty, and a text track's pauses come out right without a sample of their own."""
    return (packet for packet in source.demux() if packet.size and bytes(packet) != _PAUSE)


def _time(packet) -> Fraction:
    """When it is decoded, in seconds; Matroska says no more than when it is shown of the first packets of a track."""
    return (packet.pts if packet.dts is None else packet.dts) * packet.time_base


def _text_entry() -> bytes:
    style = pack(">HHHBB4B", 0, 0, 1, 0, _FONT_SIZE, 255, 255, 255, 255)
    fonts = _box(b"ftab", pack(">HHB", 1, 1, 5), b"Arial")
    look = pack(">Ibb4B4h", 0, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0)  # in the middle, at the bottom; no background; the whole picture
    return _box(b"tx3g", pack(">6xH", 1), look, style, fonts)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return pack(">I4s", 8 + len(body), kind) + body


def _table(kind: bytes, entries: Sequence[bytes]) -> bytes:
    """A box of version 0 that counts its entries."""
    return _box(kind, pack(">II", 0, len(entries)), *entries)
