"""What the event program of a node writes, in pieces of any size, as it comes. Nodes are not trusted."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.bpf.stream import BPF_FRAME, Said, Stream
from skoopctl.errors import EvidenceError
from skoopctl.evidence.arriving import Arriving
from skoopctl.evidence.frames import BrokenAnswerError, Frame, FrameKind


class EventReader:
    """Reads one exec of the event program. Kept are the frame that is coming and the names that the node told."""

    def __init__(self, host: str) -> None:
        self.ended = False
        """Whether the end frame came: the time is up, or no probe could be started."""
        self.started = False
        """Whether all probes have been started that can be."""
        self._host = host
        self._problem = ""
        self._arriving = Arriving()
        self._stream = Stream()
        self._begun = False

    def feed(self, data: bytes) -> list[Said]:
        """Take what came and return what it says.

        Raises `EvidenceError` when the stream is broken, at the next call if something before the break is to be
        returned, and from then on always.
        """
        said: list[Said] = []
        try:
            for frame in self._frames(data):
                self._take(frame, said)
        except (BrokenAnswerError, EvidenceError) as broken:
            self._problem = str(broken)
            self._arriving.clear()
            if not said:
                raise EvidenceError(
                    f"{self._host}: events of the node cannot be read: {self._problem}",
                    hint="connect again",
                ) from None
        return said

    def _frames(self, data: bytes) -> Iterator[Frame]:
        if self._problem:
            raise BrokenAnswerError(self._problem)
        if not self.ended:
            yield from (frame for frame, _ in self._arriving.frames(data))

    def _take(self, frame: Frame, said: list[Said]) -> None:
        """Take one frame in its turn."""
        if frame.kind == FrameKind.HELLO and not self._begun:
            self._begun = True
        elif not self._begun or self.ended:
            raise BrokenAnswerError("it does not begin with a hello frame, or goes on behind its end")
        elif frame.kind == BPF_FRAME:
            meta = frame.meta
            self.started = self.started or meta.get("what") == "started"
            what = self._stream.take(meta, frame.body)
            if what is not None:
                said.append(what)
        elif frame.kind == FrameKind.END:
            self.ended = True
        else:
            raise BrokenAnswerError(f"a frame of kind {frame.kind} among events")
